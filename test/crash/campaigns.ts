import type { ExplorerOptions, FixedFate } from '../helpers/crash-explorer.js'
import type { BackendName } from '../helpers/backends.js'
import type { Fact, Script } from './script.js'
import * as scripts from './scripts.js'

export interface Campaign {
  /** What the power is cut in, and what has to hold: completes "a power cut before any I/O operation". */
  readonly about: string
  readonly script: (script: Script) => Promise<void>
  readonly seed: number
  readonly continueEveryNth?: number
  readonly explorer: Partial<ExplorerOptions<Fact>>
  /** Crash before every n-th operation only, where a backend has many: of the history, of checks. */
  readonly strides?: Partial<Record<BackendName, { history: number; nested?: number }>>
  /**
   * States that it has to reach in a test run. A campaign that shrinks below its quota fails, so
   * that what is promised cannot erode unseen. It runs on the backends that have a quota.
   */
  readonly quotas: Partial<Record<BackendName, number>>
}

/** States in a test run of one backend: what the project promises. */
export const promisedStates = 20_000

const allFates: readonly FixedFate[] = ['n', 'e', 'k']

/** In parts of about the same length, each a test file: those run side by side. */
export const campaigns = {
  writes: {
    singleWrites: {
      about: 'of single writes loses nothing acknowledged',
      script: scripts.singleWrites,
      seed: 11,
      explorer: { fixedFates: allFates, randomFates: 12 },
      strides: { lsm: { history: 3 } },
      quotas: { btree: 2500, lsm: 1200 }
    },
    largeBatches: {
      about: 'of batches larger than a segment leaves each whole or absent',
      script: scripts.largeBatches,
      seed: 12,
      explorer: { fixedFates: allFates, randomFates: 10 },
      strides: { lsm: { history: 3 } },
      quotas: { btree: 4500, lsm: 2000 }
    },
    mixedDurability: {
      about: 'of writes of every durability loses a suffix at most',
      script: scripts.mixedDurability,
      seed: 13,
      explorer: { fixedFates: allFates, randomFates: 12 },
      strides: { lsm: { history: 3 } },
      quotas: { btree: 3000, lsm: 1700 }
    }
  },
  upkeep: {
    persistsUnderLoad: {
      about: 'of persists and a compaction under load loses nothing acknowledged',
      script: scripts.persistsUnderLoad,
      seed: 21,
      explorer: { fixedFates: allFates, randomFates: 9 },
      strides: { lsm: { history: 2 } },
      quotas: { btree: 3500, lsm: 2300 }
    },
    reopenings: {
      about: 'of closing and opening leaves a store that opens',
      script: scripts.reopenings,
      seed: 22,
      explorer: { fixedFates: allFates, randomFates: 10 },
      strides: { lsm: { history: 3 } },
      quotas: { btree: 3000, lsm: 1700 }
    },
    creation: {
      about: 'of the creation of a store leaves one that opens, or none',
      script: scripts.creation,
      seed: 23,
      explorer: { fixedFates: allFates, randomFates: 10 },
      quotas: { btree: 500, lsm: 800 }
    }
  },
  compactions: {
    churn: {
      about: 'of overwriting, removing and compacting brings nothing back',
      script: scripts.churn,
      seed: 31,
      explorer: { everyNth: 3, fixedFates: allFates, randomFates: 3 },
      strides: { lsm: { history: 2 } },
      quotas: { btree: 1000, lsm: 2800 }
    },
    viewsHeld: {
      about: 'of persists and compactions with views held leaves the newest state',
      script: scripts.viewsHeld,
      seed: 32,
      explorer: { everyNth: 2, fixedFates: allFates, randomFates: 3 },
      strides: { lsm: { history: 1 } },
      quotas: { btree: 1000, lsm: 2900 }
    },
    manyPersists: {
      about: 'of one persist after the other leaves what the last one said',
      script: scripts.manyPersists,
      seed: 33,
      explorer: { fixedFates: allFates, randomFates: 3 },
      strides: { lsm: { history: 2 } },
      quotas: { btree: 1000, lsm: 1500 }
    }
  },
  recoveries: {
    interruptedCreation: {
      about: 'of an interrupted creation leaves one that can be created again',
      script: scripts.creation,
      seed: 24,
      explorer: {
        fixedFates: ['n', 'e'],
        randomFates: 3,
        depth: 1,
        nested: { fixedFates: ['n', 'e'], randomFates: 1, everyNth: 3 }
      },
      strides: { lsm: { history: 3, nested: 5 } },
      quotas: { btree: 7000, lsm: 3000 }
    },
    // The process dies, the next one acts on what was never synced, and then the power goes.
    killedThenCut: {
      about: 'of what was recovered from a page cache loses nothing that was recovered',
      script: scripts.persistsUnderLoad,
      seed: 26,
      continueEveryNth: 16,
      explorer: {
        fixedFates: ['k'],
        randomFates: 0,
        depth: 1,
        nested: { everyNth: 3, fixedFates: ['n'], randomFates: 0 }
      },
      strides: { lsm: { history: 2, nested: 5 } },
      quotas: { btree: 2500, lsm: 1900 }
    },
    interruptedRecoveries: {
      about: 'of recoveries, and of recoveries of interrupted recoveries, loses nothing',
      script: scripts.mixedDurability,
      seed: 25,
      continueEveryNth: 16,
      explorer: {
        everyNth: 8,
        fixedFates: ['k'],
        randomFates: 2,
        depth: 2,
        nested: { everyNth: 7, fixedFates: ['n'], randomFates: 1 }
      },
      strides: { lsm: { history: 12, nested: 11 } },
      quotas: { btree: 3500, lsm: 5500 }
    }
  }
} satisfies Record<string, Record<string, Campaign>>

/** The quotas of all campaigns of a backend together. */
export function promisedBy(backend: BackendName): number {
  const all: Campaign[] = Object.values(campaigns).flatMap((part) => Object.values(part))
  return all.reduce((sum, { quotas }) => sum + (quotas[backend] ?? 0), 0)
}
