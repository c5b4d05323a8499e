import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { InlineRunner } from '../../../../dist/backends/lsm/jobs/inline-runner.js'
import { JobAbort } from '../../../../dist/backends/lsm/jobs/job-control.js'
import { RateLimiter } from '../../../../dist/backends/lsm/jobs/rate-limiter.js'
import { compareHighs, isBelow } from '../../../../dist/memtable/key-span.js'
import { tableName } from '../../../../dist/backends/lsm/table-meta.js'
import type { TableMeta } from '../../../../dist/backends/lsm/table-meta.js'
import { systemClock } from '../../../../dist/base/clock.js'
import type { BatchOperation } from '../../../../dist/batch/batch.js'
import { FaultVfs } from '../../../../dist/vfs/fault-vfs.js'
import { MemVfs } from '../../../../dist/vfs/mem-vfs.js'
import type { Vfs } from '../../../../dist/vfs/vfs.js'
import { countingOpenFiles } from '../../../helpers/open-files.js'
import {
  checksum,
  compactionJob,
  flushJob,
  memtableOf,
  readTables,
  runAndPublish,
  versionsOf
} from './job-harness.js'
import type { Commit } from './job-harness.js'
import { valueAt } from './merge-model.js'

const directory = '/lsm'

function inlineOn(vfs: Vfs, bytesPerSecond = 0): InlineRunner {
  return new InlineRunner(vfs, checksum, systemClock, new RateLimiter(bytesPerSecond, systemClock))
}

function emptyVfs(): MemVfs {
  const vfs = new MemVfs()
  vfs.mkdirSync(directory)
  return vfs
}

const keys = Array.from(
  { length: 24 },
  (_, i) => `key ${String(i).padStart(2, '0')}${'x'.repeat(i % 5)}`
)
const keyAt = fc.nat(keys.length - 1)
const value = fc.tuple(fc.constantFrom(0, 3, 40, 300, 2000), fc.nat(255))
const operation: fc.Arbitrary<BatchOperation> = fc.oneof(
  {
    weight: 6,
    arbitrary: fc.tuple(keyAt, value).map(([at, [length, byte]]) => ({
      type: 'put' as const,
      key: Buffer.from(keys[at]!),
      value: Buffer.alloc(length, byte)
    }))
  },
  {
    weight: 2,
    arbitrary: keyAt.map((at) => ({ type: 'del' as const, key: Buffer.from(keys[at]!) }))
  },
  {
    weight: 1,
    arbitrary: fc.tuple(keyAt, fc.nat(keys.length)).map(([from, to]) => {
      const gte = Buffer.from(keys[from]!)
      const range = to > from && to < keys.length ? { gte, lt: Buffer.from(keys[to]!) } : { gte }
      return { type: 'clear' as const, range }
    })
  }
)

function checkOrder(outputs: readonly TableMeta[], first: number): void {
  outputs.forEach((meta, i) => {
    expect(meta.number).toBe(first + i)
    expect(meta.job.firstOutput).toBe(first)
    expect(meta.job.isLast).toBe(i === outputs.length - 1)
    if (i > 0) expect(isBelow(meta.low, outputs[i - 1]!.high)).toBe(false)
    expect(compareHighs(meta.low, meta.high)).toBeLessThan(0)
  })
}

describe('flushes and a compaction', () => {
  it('leave every reader what it saw, split as they may be', async () => {
    const batches = fc.array(fc.array(operation, { minLength: 1, maxLength: 6 }), {
      minLength: 1,
      maxLength: 30
    })
    const cuts = fc.array(fc.nat(30), { maxLength: 4 })
    const shape = fc.record({
      views: fc.uniqueArray(fc.nat(30), { maxLength: 3 }),
      maxTableBytes: fc.constantFrom(600, 4000, 100_000),
      maxOutputs: fc.constantFrom(1, 2, 100),
      olderCount: fc.nat(1)
    })
    const property = fc.asyncProperty(
      batches,
      cuts,
      shape,
      async (made, at, { views, olderCount, ...split }) => {
        const counted = countingOpenFiles(emptyVfs())
        const { vfs } = counted
        const runner = inlineOn(vfs)
        const commits = made.map((operations, i): Commit => ({ seq: i + 1, operations }))
        const viewSeqs = views.toSorted((a, b) => a - b)
        const bounds = [...new Set(at.map((cut) => 1 + (cut % commits.length)))].sort(
          (a, b) => a - b
        )
        const tables: TableMeta[][] = []
        for (const [i, start] of [0, ...bounds].entries()) {
          const part = commits.slice(start, bounds[i])
          if (part.length === 0) continue
          const newestView = Math.max(0, ...viewSeqs)
          const half = part.length >> 1
          const memtables = [part.slice(0, half), part.slice(half)]
            .filter((some) => some.length > 0)
            .map((some) => memtableOf(some, newestView))
          const below = tables.flat().map(({ low, high }) => ({ low, high }))
          const job = {
            ...flushJob(directory, 100 * i + 1, memtables),
            viewSeqs,
            below,
            maxOutputs: 1
          }
          const { outputs } = await runAndPublish(vfs, runner, job)
          checkOrder(outputs, 100 * i + 1)
          tables.push([...outputs])
        }
        const older = tables.splice(0, Math.min(olderCount, tables.length - 1)).flat()
        const below = older.map(({ low, high }) => ({ low, high }))
        const runs = tables.toReversed().filter((run) => run.length > 0)
        const job = { ...compactionJob(directory, 5000, runs), ...split, viewSeqs, below }
        const result = await runAndPublish(vfs, runner, job)
        checkOrder(result.outputs, 5000)
        expect(result.outputs.length).toBeLessThanOrEqual(split.maxOutputs)
        const before = versionsOf(commits)
        const after = await readTables(vfs, directory, [...older, ...result.outputs])
        for (const view of [...viewSeqs, Number.MAX_SAFE_INTEGER]) {
          for (const key of keys) {
            expect(valueAt(after, key, view), `${key} at ${view}`).toBe(valueAt(before, key, view))
          }
        }
        // A reader asks of a level only the table that its key belongs to.
        for (const meta of result.outputs) {
          for (const { key } of await readTables(vfs, directory, [meta])) {
            expect(Buffer.compare(Buffer.from(key), meta.low)).toBeGreaterThanOrEqual(0)
          }
        }
        expect(counted.open.size).toBe(0)
      }
    )
    await fc.assert(property, { numRuns: 150 })
  })
})

const put = (key: string, length = 100): BatchOperation => ({
  type: 'put',
  key: Buffer.from(key),
  value: Buffer.alloc(length, key)
})

/** Some tables of level 0 with keys of their own and some in common. */
async function someTables(vfs: Vfs, runner: InlineRunner, count = 3): Promise<TableMeta[][]> {
  const runs: TableMeta[][] = []
  for (let i = 0; i < count; i++) {
    const operations = Array.from({ length: 200 }, (_, j) =>
      put(`key${String(j * (i + 1)).padStart(5, '0')}`)
    )
    const job = flushJob(directory, i + 1, [memtableOf([{ seq: i + 1, operations }])])
    runs.unshift([...(await runAndPublish(vfs, runner, job)).outputs])
  }
  return runs
}

describe('a compaction job', () => {
  it('ends a table that overlaps too much of the level below', async () => {
    const vfs = emptyVfs()
    const runner = inlineOn(vfs)
    const runs = await someTables(vfs, runner)
    const low = (n: number) => Buffer.from(`key${String(n).padStart(5, '0')}`)
    const grandparents = Array.from({ length: 6 }, (_, i) => ({
      low: low(i * 100),
      high: low(i * 100 + 100),
      sizeBytes: 1000
    }))
    const job = { ...compactionJob(directory, 50, runs), grandparents, maxGrandparentBytes: 1500 }
    const { outputs } = await runAndPublish(vfs, runner, job)
    expect(outputs.map((meta) => Buffer.from(meta.low).toString())).toEqual([
      'key00000',
      'key00200',
      'key00402'
    ])
  })

  it('never puts the versions of a key into two tables', async () => {
    const vfs = emptyVfs()
    const runner = inlineOn(vfs)
    const commits = Array.from({ length: 12 }, (_, i) => ({
      seq: i + 1,
      operations: ['a', 'b', 'c'].map((key) => put(key, 900))
    }))
    const viewSeqs = commits.map(({ seq }) => seq)
    const flush = { ...flushJob(directory, 1, [memtableOf(commits, 99)]), viewSeqs }
    const { outputs: tables } = await runAndPublish(vfs, runner, flush)
    const compaction = { ...compactionJob(directory, 50, [tables]), viewSeqs, maxTableBytes: 600 }
    const { outputs } = await runAndPublish(vfs, runner, compaction)
    expect(outputs.map(({ entries }) => entries)).toEqual([12, 12, 12])
    checkOrder(outputs, 50)
  })

  it('is empty where nothing is left', async () => {
    const vfs = emptyVfs()
    const runner = inlineOn(vfs)
    const operations: BatchOperation[] = [{ type: 'del', key: Buffer.from('a') }]
    const job = flushJob(directory, 1, [memtableOf([{ seq: 1, operations }])])
    const [table] = (
      await runAndPublish(vfs, runner, {
        ...job,
        below: [{ low: Buffer.alloc(0), high: undefined }]
      })
    ).outputs
    const result = await runAndPublish(vfs, runner, compactionJob(directory, 2, [[table!]]))
    expect(result).toMatchObject({
      outputs: [],
      bytesWritten: 0,
      entriesRead: 1,
      entriesWritten: 0
    })
    expect(await vfs.readdir(directory)).toEqual([tableName(1)])
  })

  it('ends at once when it is aborted, with its files closed', async () => {
    const { vfs, open } = countingOpenFiles(emptyVfs())
    const runner = inlineOn(vfs)
    const runs = await someTables(vfs, runner)
    const abort = new JobAbort()
    const running = runner.run(compactionJob(directory, 50, runs), { abort, isAwaited: false })
    abort.abort()
    await expect(running).rejects.toMatchObject({ code: 'KINTSUGI_ABORTED' })
    expect(open.size).toBe(0)
    await runner.close()
    const late = runner.run(compactionJob(directory, 50, runs), {
      abort: new JobAbort(),
      isAwaited: false
    })
    await expect(late).rejects.toMatchObject({ code: 'KINTSUGI_ABORTED' })
  })

  it('fails typed whatever operation fails, and leaves its inputs as they are', async () => {
    const bare = emptyVfs()
    const runs = await someTables(bare, inlineOn(bare))
    const before = await readTables(bare, directory, runs.flat())
    const plan = (nth: number) => [
      { operation: 'any' as const, nth, fault: { kind: 'error' as const, errno: 'EIO' as const } }
    ]
    let count = 0
    for (let nth = 1; ; nth++) {
      const faulty = new FaultVfs(bare, plan(nth))
      const { vfs, open } = countingOpenFiles(faulty)
      const job = { ...compactionJob(directory, 100 * nth, runs), maxTableBytes: 8000 }
      const running = inlineOn(vfs).run(job, { abort: new JobAbort(), isAwaited: true })
      const outcome = await running.then(
        () => 'done',
        (error: Error) => error
      )
      if (outcome === 'done') break
      expect(outcome).toMatchObject({ code: 'KINTSUGI_IO' })
      expect([...open].map(({ path }) => path)).toEqual([])
      count++
    }
    expect(count).toBeGreaterThan(15)
    expect(await readTables(bare, directory, runs.flat())).toEqual(before)
  })

  it('names the input that is damaged', async () => {
    const vfs = emptyVfs()
    const runner = inlineOn(vfs)
    const runs = await someTables(vfs, runner)
    const path = `${directory}/${tableName(2)}`
    const file = vfs.openSync(path, 'readwrite')
    file.writeSync(Buffer.from([0xff, 0xee, 0xdd]), 300)
    const running = runAndPublish(vfs, runner, compactionJob(directory, 50, runs))
    await expect(running).rejects.toMatchObject({ code: 'KINTSUGI_CORRUPTION', facts: { path } })
    vfs.unlinkSync(path)
    const again = runAndPublish(vfs, runner, compactionJob(directory, 70, runs))
    await expect(again).rejects.toMatchObject({ code: 'KINTSUGI_FILE_MISSING', facts: { path } })
  })

  it('keeps to the rate limit, and flushes do not', async () => {
    const vfs = emptyVfs()
    const runner = inlineOn(vfs, 20_000)
    const startMs = Date.now()
    const runs = await someTables(vfs, runner)
    expect(Date.now() - startMs).toBeLessThan(500)
    const job = { ...compactionJob(directory, 50, runs), compression: 'none' as const }
    const { bytesWritten } = await runAndPublish(vfs, runner, job)
    const expectedMs = (bytesWritten / 20_000) * 1000 - 200
    expect(expectedMs).toBeGreaterThan(1000)
    expect(Date.now() - startMs).toBeGreaterThan(expectedMs)
  })
})
