import type { BackendContext } from '../../backend/backend.js'
import type { CompressionName } from '../../options.js'
import type { Installer } from './installer.js'
import { JobAbort } from './jobs/job-control.js'
import type { FlushJob } from './jobs/job.js'
import type { JobRunner } from './jobs/job-runner.js'
import type { LsmState } from './lsm-state.js'
import type { Manifest } from './manifest/manifest.js'
import type { Memtable } from '../../memtable/memtable.js'

/** A flush makes one table, however large its memtables are. */
const outputCount = 1

/** What a flusher works with. */
export interface FlusherParts {
  readonly context: BackendContext
  readonly manifest: Manifest
  readonly state: LsmState
  readonly installer: Installer
  readonly runner: JobRunner
}

/** Makes tables of memtables: the backend's persist. */
export class Flusher {
  readonly #parts: FlusherParts
  bytesWritten = 0
  flushes = 0

  constructor(parts: FlusherParts) {
    this.#parts = parts
  }

  /**
   * Flushes everything applied up to `frozenSeq`, which is now; the new `durableSeq`. Nothing is
   * written before the log is synced through the freeze point (rule W8).
   */
  async persist(frozenSeq: number, syncLog: (seq: number) => Promise<void>): Promise<number> {
    const { manifest, state, installer } = this.#parts
    if (state.memtables.freeze()) state.memtablesChanged()
    const frozen = state.memtables.immutables
    if (frozen.length === 0) {
      await manifest.acknowledge()
      await installer.clean()
      return manifest.version.durableSeq
    }
    await syncLog(frozenSeq)
    await this.#flush(frozen, frozenSeq)
    await installer.clean()
    return manifest.version.durableSeq
  }

  async #flush(frozen: readonly Memtable[], durableSeq: number): Promise<void> {
    const { runner, installer, state } = this.#parts
    const firstOutput = installer.allocate(outputCount)
    const job = this.#jobOf(frozen, firstOutput)
    let outputs
    try {
      const result = await runner.run(job, { abort: new JobAbort(), isAwaited: true })
      outputs = result.outputs
      this.bytesWritten += result.bytesWritten
      this.flushes++
    } catch (error) {
      installer.giveUp(firstOutput, outputCount)
      throw error
    }
    // In the turn in which the tables are there, the memtables go.
    await installer.install({ outputs, firstOutput, outputCount }, { durableSeq }, () =>
      state.memtables.drop(frozen)
    )
  }

  #jobOf(frozen: readonly Memtable[], firstOutput: number): FlushJob {
    const { context, state, manifest } = this.#parts
    const { directory, storeId, epoch, options } = context
    return {
      kind: 'flush',
      directory,
      storeId,
      epoch,
      level: 0,
      firstOutput,
      maxOutputs: outputCount,
      maxTableBytes: Number.MAX_SAFE_INTEGER,
      blockBytes: options.blockBytes,
      compression: compressionOf(options.compression, 0),
      viewSeqs: state.views.list(),
      below: manifest.version.tables().map(({ low, high }) => ({ low, high })),
      memtables: frozen.toReversed().map((memtable) => memtable.freeze())
    }
  }
}

/** How blocks of a level are stored. */
export function compressionOf(
  compression: CompressionName | readonly CompressionName[],
  level: number
): CompressionName {
  const list = [compression].flat() as CompressionName[]
  return list[Math.min(level, list.length - 1)]
}
