import type { BatchOperation } from '../../../../dist/batch/batch.js'
import { encodeBatch } from '../../../../dist/batch/batch.js'
import { EntryKind } from '../../../../dist/memtable/entry.js'
import { JobAbort } from '../../../../dist/backends/lsm/jobs/job-control.js'
import type {
  CompactionJob,
  FlushJob,
  Job,
  JobResult
} from '../../../../dist/backends/lsm/jobs/job.js'
import type { JobRunner } from '../../../../dist/backends/lsm/jobs/job-runner.js'
import { KeyHash } from '../../../../dist/memtable/key-hash.js'
import { Arena } from '../../../../dist/memtable/arena.js'
import { Memtable } from '../../../../dist/memtable/memtable.js'
import { tableName, temporaryName } from '../../../../dist/backends/lsm/table-meta.js'
import type { TableMeta } from '../../../../dist/backends/lsm/table-meta.js'
import { TableScanner } from '../../../../dist/backends/lsm/table/table-scanner.js'
import { Checksum } from '../../../../dist/codec/checksum.js'
import type { Vfs } from '../../../../dist/vfs/vfs.js'
import type { Version } from './merge-model.js'

export const storeId = Buffer.from('00112233445566778899aabbccddeeff', 'hex')
export const checksum = await Checksum.create()
const epoch = 3

export interface Commit {
  readonly seq: number
  readonly operations: readonly BatchOperation[]
}

/** A memtable with these commits; versions up to the newest view are kept. */
export function memtableOf(commits: readonly Commit[], newestViewSeq = 0): Memtable {
  const memtable = new Memtable(Arena.make(1 << 20, 0), new KeyHash(storeId))
  for (const { seq, operations } of commits) {
    const batch = encodeBatch(operations)
    memtable.apply(batch, 0, batch.length, seq, newestViewSeq)
  }
  return memtable
}

/** What every job of the tests has in common. */
export function planOf(directory: string, firstOutput: number) {
  return {
    directory,
    storeId,
    epoch,
    firstOutput,
    maxOutputs: 50,
    maxTableBytes: 1 << 20,
    blockBytes: 1024,
    compression: 'lz4' as const,
    viewSeqs: [] as readonly number[],
    below: [] as CompactionJob['below']
  }
}

export function flushJob(directory: string, firstOutput: number, memtables: Memtable[]): FlushJob {
  const frozen = memtables.map((memtable) => memtable.freeze())
  return { ...planOf(directory, firstOutput), kind: 'flush', level: 0, memtables: frozen }
}

export function compactionJob(
  directory: string,
  firstOutput: number,
  runs: readonly (readonly TableMeta[])[]
): CompactionJob {
  const more = { grandparents: [], maxGrandparentBytes: 1 << 30 }
  return { ...planOf(directory, firstOutput), ...more, kind: 'compaction', level: 1, runs }
}

/** Runs a job and gives its outputs their names. */
export async function runAndPublish(vfs: Vfs, runner: JobRunner, job: Job): Promise<JobResult> {
  const result = await runner.run(job, { abort: new JobAbort(), isAwaited: true })
  for (const { number } of result.outputs) {
    const from = `${job.directory}/${temporaryName(number, epoch)}`
    await vfs.rename(from, `${job.directory}/${tableName(number)}`)
  }
  return result
}

/** Everything in a table: its versions and its removed ranges. */
export async function readTable(vfs: Vfs, directory: string, meta: TableMeta): Promise<Version[]> {
  const path = `${directory}/${tableName(meta.number)}`
  const scanner = await TableScanner.open(vfs, path, meta, { storeId, checksum })
  const found: Version[] = []
  while (await scanner.next()) {
    const { seq } = scanner
    const key = Buffer.from(scanner.key.subarray(scanner.keyStart, scanner.keyEnd)).toString(
      'latin1'
    )
    await scanner.loadValue()
    const value = Buffer.from(scanner.value.subarray(scanner.valueStart, scanner.valueEnd))
    if (scanner.kind === EntryKind.delete) found.push({ key, seq, kind: 'delete' })
    else found.push({ key, seq, kind: 'put', value: value.toString('latin1') })
  }
  for (const { low, high, seqs } of scanner.tombstones.spans()) {
    for (const seq of seqs) {
      const to = high === undefined ? undefined : Buffer.from(high).toString('latin1')
      const key = Buffer.from(low).toString('latin1')
      found.push({ key, seq, kind: 'clear', ...(to !== undefined && { high: to }) })
    }
  }
  await scanner.close()
  return found
}

export async function readTables(vfs: Vfs, directory: string, metas: readonly TableMeta[]) {
  const all: Version[] = []
  for (const meta of metas) all.push(...(await readTable(vfs, directory, meta)))
  return all
}

/** What commits mean, one version for each operation. */
export function versionsOf(commits: readonly Commit[]): Version[] {
  return commits.flatMap(({ seq, operations }) => {
    const last = new Map<string, Version>()
    const ranges: Version[] = []
    for (const operation of operations) {
      if (operation.type === 'clear') {
        const { gte, lt } = operation.range
        const low = Buffer.from(gte!).toString('latin1')
        const high = lt && Buffer.from(lt).toString('latin1')
        ranges.push({ key: low, seq, kind: 'clear', ...(high !== undefined && { high }) })
        for (const key of last.keys()) {
          if (key >= low && (high === undefined || key < high))
            last.set(key, { key, seq, kind: 'delete' })
        }
        continue
      }
      const key = Buffer.from(operation.key).toString('latin1')
      if (operation.type === 'del') last.set(key, { key, seq, kind: 'delete' })
      else
        last.set(key, {
          key,
          seq,
          kind: 'put',
          value: Buffer.from(operation.value).toString('latin1')
        })
    }
    return [...last.values(), ...ranges]
  })
}
