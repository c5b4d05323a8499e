import { describe, expect, it } from 'vitest'
import { SeededScheduler } from '../../dist/vfs/mem-scheduler.js'
import type { MemVfs } from '../../dist/vfs/mem-vfs.js'
import { CrashFailure, exploreCrashes, type ExplorerOptions } from './crash-explorer.js'

/**
 * A list of numbers in one file: as small a store as can be got wrong. Each number fills a record of
 * 1,000 bytes; recovery copies the intact records into a new file that replaces the old one.
 */
const recordBytes = 1000

interface Defects {
  readonly acknowledgesBeforeSync?: boolean
  readonly skipsDirectorySync?: boolean
  readonly recoveryTruncatesFirst?: boolean
}

function readRecords(vfs: MemVfs): number[] {
  if (!vfs.statSync('/list')) return []
  const all = vfs.medium.read('/list')
  const numbers: number[] = []
  for (let at = 0; at + recordBytes <= all.length; at += recordBytes) {
    const value = all[at]!
    if (value === 0 || !all.subarray(at, at + recordBytes).every((byte) => byte === value)) break
    numbers.push(value)
  }
  return numbers
}

function recover(vfs: MemVfs, defects: Defects): number[] {
  const numbers = readRecords(vfs)
  const path = defects.recoveryTruncatesFirst ? '/list' : '/list.new'
  if (vfs.statSync(path)) vfs.unlinkSync(path)
  const file = vfs.openSync(path, 'create')
  if (defects.recoveryTruncatesFirst) vfs.syncDirectorySync('/')
  numbers.forEach((value, i) => file.writeSync(Buffer.alloc(recordBytes, value), i * recordBytes))
  file.datasyncSync()
  file.closeSync()
  if (!defects.recoveryTruncatesFirst) vfs.renameSync(path, '/list')
  vfs.syncDirectorySync('/')
  return numbers
}

function listOptions(seed: number, defects: Defects = {}): ExplorerOptions<number> {
  return {
    seed,
    history: async ({ vfs, attempt, acknowledge, step }) => {
      const file = await vfs.open('/list', 'create')
      if (!defects.skipsDirectorySync) await vfs.syncDirectory('/')
      for (let i = 0; i < 10; i++) {
        await step(`number ${i + 1}`)
        attempt(i + 1)
        await file.write(Buffer.alloc(recordBytes, i + 1), i * recordBytes)
        if (defects.acknowledgesBeforeSync) acknowledge(i + 1)
        await file.datasync()
        if (!defects.acknowledgesBeforeSync) acknowledge(i + 1)
      }
    },
    check: async (clone, { acknowledged, attempted, recovered }) => {
      const numbers = recover(clone, defects)
      recovered()
      expect(numbers).toEqual(attempted.slice(0, numbers.length))
      expect(numbers.length).toBeGreaterThanOrEqual(acknowledged.length)
      expect(readRecords(clone)).toEqual(numbers)
      // Changes after recovery are not crashed again.
      clone.unlinkSync('/list')
      clone.syncDirectorySync('/')
    }
  }
}

async function failureOf(options: ExplorerOptions<number>): Promise<CrashFailure> {
  const outcome = await exploreCrashes(options).catch((error: unknown) => error)
  expect(outcome).toBeInstanceOf(CrashFailure)
  return outcome as CrashFailure
}

describe('the crash explorer', () => {
  it('accepts a correct store and counts what it tried', async () => {
    const report = await exploreCrashes({ ...listOptions(1), randomFates: 8 })
    // Creation, its directory sync, ten times write and sync; one more moment at the end.
    expect(report.operations).toBe(22)
    expect(report.moments).toBe(23)
    expect(report.statesByDepth).toEqual([230])
  })

  it('interrupts recovery, and the recovery of interrupted recoveries', async () => {
    const report = await exploreCrashes({
      ...listOptions(2),
      depth: 2,
      everyNth: 2,
      fixedFates: ['n', 'k'],
      randomFates: 1,
      nested: { everyNth: 3, fixedFates: ['n', 'k'], randomFates: 1 }
    })
    expect(report.statesByDepth).toHaveLength(3)
    expect(report.statesByDepth[1]).toBeGreaterThan(report.statesByDepth[0]!)
    expect(report.statesByDepth[2]).toBeGreaterThan(report.statesByDepth[1]!)
  })

  it.each([
    ['an acknowledgement before the sync', { acknowledgesBeforeSync: true }, 0],
    ['a missing directory sync', { skipsDirectorySync: true }, 0],
    ['a recovery that truncates what it still needs', { recoveryTruncatesFirst: true }, 1]
  ])('finds %s', async (_, defects, depth) => {
    const failure = await failureOf({ ...listOptions(3, defects), depth })
    expect(failure.message).toContain(`only: '${failure.address}'`)
    expect(failure.message).toContain('seed: 3')
    expect(failure.address.split('/')).toHaveLength(depth + 1)
  })

  it('finds the same failure again from its address alone', async () => {
    for (let seed = 0; seed < 20; seed++) {
      const options = { ...listOptions(seed, { acknowledgesBeforeSync: true }), fixedFates: [] }
      const failure = await failureOf(options)
      const again = await failureOf({ ...options, only: failure.address })
      expect(again.message).toBe(failure.message)
      let states = 0
      const check: typeof options.check = async () => void states++
      await exploreCrashes({ ...options, check, only: failure.address })
      expect(states).toBe(1)
    }
  })

  it('knows what was acknowledged at each moment', async () => {
    const seen: string[] = []
    await exploreCrashes({
      ...listOptions(4),
      fixedFates: ['n'],
      randomFates: 0,
      check: async (_, { nextOperation, acknowledged, attempted, label }) => {
        const kind = nextOperation?.kind ?? 'end'
        seen.push(`${label}: ${kind} ${acknowledged.length}/${attempted.length}`)
      }
    })
    expect(seen.slice(0, 6)).toEqual([
      'start: create 0/0',
      'start: syncDirectory 0/0',
      'number 1: write 0/1',
      'number 1: datasync 0/1',
      'number 2: write 1/2',
      'number 2: datasync 1/2'
    ])
    expect(seen.at(-1)).toBe('end: end 10/10')
  })

  it('reports a check that never settles', async () => {
    const check = () => new Promise<void>(() => undefined)
    const failure = await failureOf({ ...listOptions(5), check, checkTimeoutMs: 20 })
    expect(failure.message).toContain('did not settle')
  })

  it('holds the history up rather than gather states without bound', async () => {
    let waiting = 0
    let most = 0
    await exploreCrashes<number>({
      seed: 6,
      maxQueued: 10,
      randomFates: 2,
      scheduler: (random) => new SeededScheduler(random),
      history: async ({ vfs }) => {
        vfs.onBeforeOperation(() => (most = Math.max(most, (waiting += 4))))
        const file = await vfs.open('/a', 'create')
        for (let i = 0; i < 50; i++) await file.write(Buffer.of(i), i)
      },
      check: async () => void waiting--
    })
    expect(most).toBeLessThan(30)
  })

  it('finds every settled write of concurrent writers, whatever overtakes what', async () => {
    const slotBytes = 700
    let states = 0
    for (let seed = 0; seed < 20; seed++) {
      const report = await exploreCrashes<number>({
        seed,
        fixedFates: ['n'],
        scheduler: (random) => new SeededScheduler(random),
        history: async ({ vfs, acknowledge }) => {
          const file = await vfs.open('/a', 'create')
          await vfs.syncDirectory('/')
          const write = async (slot: number) => {
            await file.writeAndDatasync(Buffer.alloc(slotBytes, slot + 1), slot * slotBytes)
            acknowledge(slot)
          }
          await Promise.all([0, 1, 2, 3, 4, 5, 6, 7].map(write))
        },
        check: async (clone, { acknowledged }) => {
          for (const slot of acknowledged) {
            const start = slot * slotBytes
            const content = clone.medium.read('/a').subarray(start, start + slotBytes)
            expect(content.equals(Buffer.alloc(slotBytes, slot + 1))).toBe(true)
          }
        }
      })
      states += report.states
    }
    expect(states).toBe(20 * 19 * 3)
  })

  it('rejects with the error of a history that fails', async () => {
    const history = async () => {
      throw new Error('the history is wrong')
    }
    await expect(exploreCrashes({ ...listOptions(7), history })).rejects.toThrow('history is wrong')
  })

  it('gives the same states for the same seed, and others for another', async () => {
    const fingerprint = async (seed: number) => {
      const states: string[] = []
      const check = async (clone: MemVfs) => {
        states.push(
          clone.medium
            .paths()
            .map((p) => clone.medium.read(p).toString('hex'))
            .join()
        )
      }
      await exploreCrashes({ ...listOptions(seed), check })
      return states.join('\n')
    }
    expect(await fingerprint(8)).toBe(await fingerprint(8))
    expect(await fingerprint(8)).not.toBe(await fingerprint(9))
  })
})
