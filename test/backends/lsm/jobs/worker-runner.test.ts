import fs from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { spawnSync } from 'node:child_process'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { JobAbort } from '../../../../dist/backends/lsm/jobs/job-control.js'
import { RateLimiter } from '../../../../dist/backends/lsm/jobs/rate-limiter.js'
import { WorkerRunner } from '../../../../dist/backends/lsm/jobs/worker-runner.js'
import { tableName } from '../../../../dist/backends/lsm/table-meta.js'
import type { TableMeta } from '../../../../dist/backends/lsm/table-meta.js'
import { systemClock } from '../../../../dist/base/clock.js'
import type { BatchOperation } from '../../../../dist/batch/batch.js'
import { KintsugiError } from '../../../../dist/errors.js'
import { NodeVfs } from '../../../../dist/vfs/node-vfs.js'
import { compactionJob, flushJob, memtableOf, readTables, runAndPublish } from './job-harness.js'

const vfs = new NodeVfs()
let directory: string
let runner: WorkerRunner

const runnerWith = (bytesPerSecond: number, entry?: URL) =>
  new WorkerRunner(vfs.spec, new RateLimiter(bytesPerSecond, systemClock), entry)

beforeEach(() => {
  directory = fs.mkdtempSync(join(tmpdir(), 'kintsugi-jobs-'))
  runner = runnerWith(0)
})

afterEach(async () => {
  await runner.close()
  fs.rmSync(directory, { recursive: true, force: true })
})

async function flushed(number: number, count = 500): Promise<TableMeta> {
  const operations = Array.from({ length: count }, (_, i): BatchOperation => ({
    type: 'put',
    key: Buffer.from(`key${String(i).padStart(6, '0')}`),
    value: Buffer.alloc(100, number)
  }))
  const job = flushJob(directory, number, [memtableOf([{ seq: number, operations }])])
  return (await runAndPublish(vfs, runner, job)).outputs[0]!
}

const unawaited = () => ({ abort: new JobAbort(), isAwaited: false })

describe('jobs in worker threads', () => {
  it('flush a shared memtable and merge tables', async () => {
    const tables = [await flushed(1), await flushed(2)]
    const job = compactionJob(directory, 10, [[tables[1]!], [tables[0]!]])
    const { outputs, bytesRead } = await runAndPublish(vfs, runner, job)
    expect(bytesRead).toBeGreaterThan(0)
    const versions = await readTables(vfs, directory, outputs)
    expect(versions).toHaveLength(500)
    expect(versions.every(({ seq, value }) => seq === 2 && value === '\x02'.repeat(100))).toBe(true)
  })

  it('run at the same time, each in a thread of its own', async () => {
    const numbers = await Promise.all([1, 2, 3].map((number) => flushed(number)))
    expect(numbers.map(({ number }) => number)).toEqual([1, 2, 3])
  })

  it('fail with errors that say the same as they would here', async () => {
    const table = await flushed(1)
    const path = join(directory, tableName(1))
    const bytes = fs.readFileSync(path)
    bytes[200] ^= 1
    fs.writeFileSync(path, bytes)
    const damaged = await runner
      .run(compactionJob(directory, 10, [[table]]), unawaited())
      .catch((error: unknown) => error)
    expect(damaged).toBeInstanceOf(KintsugiError)
    const { code, facts, retryable } = damaged as KintsugiError
    expect({ code, retryable }).toEqual({ code: 'KINTSUGI_CORRUPTION', retryable: false })
    expect(facts).toMatchObject({ path })
    expect(facts.lowKey).toBeInstanceOf(Uint8Array)
    fs.unlinkSync(path)
    const missing = runner.run(compactionJob(directory, 20, [[table]]), unawaited())
    await expect(missing).rejects.toMatchObject({ code: 'KINTSUGI_FILE_MISSING', facts: { path } })
  })

  it('are ended from outside while they wait for the rate limit', async () => {
    const tables = [await flushed(1), await flushed(2)]
    const slow = runnerWith(1000)
    const abort = new JobAbort()
    const job = compactionJob(directory, 10, [[tables[1]!], [tables[0]!]])
    const running = slow.run(job, { abort, isAwaited: false })
    setTimeout(() => abort.abort(), 300)
    await expect(running).rejects.toMatchObject({ code: 'KINTSUGI_ABORTED' })
    await slow.close()
    await expect(slow.run(job, unawaited())).rejects.toMatchObject({ code: 'KINTSUGI_ABORTED' })
  })
})

describe('a worker thread that dies', () => {
  it.each([
    [0, 'by process.exit', '(exit code 7)'],
    [1, 'of an exception', '(exit code 1)'],
    [2, 'of a rejection', '(exit code 1)']
  ])('fails its job and is replaced: way %i, %s', async (level, _, message) => {
    const entry = new URL('./dying-worker.mjs', import.meta.url)
    const dying = runnerWith(0, entry)
    const job = compactionJob(directory, 1, [])
    const running = dying.run({ ...job, level }, unawaited())
    await expect(running).rejects.toMatchObject({ code: 'KINTSUGI_INTERNAL' })
    await expect(running).rejects.toThrow(message)
    expect(await dying.run({ ...job, level: 3 }, unawaited())).toMatchObject({ bytesRead: 3 })
    await dying.close()
  })

  it('does not keep the process alive while it is idle', () => {
    const url = (path: string) => new URL(`../../../../dist/${path}`, import.meta.url).href
    const text = `
      import { WorkerRunner } from '${url('backends/lsm/jobs/worker-runner.js')}'
      import { RateLimiter } from '${url('backends/lsm/jobs/rate-limiter.js')}'
      import { JobAbort } from '${url('backends/lsm/jobs/job-control.js')}'
      import { systemClock } from '${url('base/clock.js')}'
      const limiter = new RateLimiter(0, systemClock)
      const runner = new WorkerRunner({ kind: 'node', native: false }, limiter)
      const job = { kind: 'compaction', directory: '${directory}', storeId: new Uint8Array(16),
        epoch: 1, level: 1, firstOutput: 1, maxOutputs: 1, maxTableBytes: 1e6, blockBytes: 1024,
        compression: 'none', viewSeqs: [], below: [], runs: [], grandparents: [],
        maxGrandparentBytes: 1e9 }
      const result = await runner.run(job, { abort: new JobAbort(), isAwaited: true })
      console.log(result.outputs.length, 'outputs')
    `
    // Flags of the main thread that a worker would not take.
    const options = { encoding: 'utf8' as const, timeout: 60_000 }
    const { stdout, status } = spawnSync(
      process.execPath,
      ['--input-type=module', '-e', text],
      options
    )
    expect({ stdout, status }).toEqual({ stdout: '0 outputs\n', status: 0 })
  })
})
