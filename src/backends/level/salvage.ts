import type { BackendContext, Progress, SalvageReport } from '../../backend/backend.js'
import { turn } from '../../base/turn.js'
import { isCorruption } from '../../errors.js'
import type { EntryCheck } from './files/entry-check.js'
import { LevelEntries } from './files/leveldb-entries.js'
import { findSources, type SalvageSources } from './files/salvage-sources.js'
import { appliedKey, databaseName } from './format.js'
import { LevelDb, type LevelOperation } from './level-db.js'
import { appliedValue } from './level-persist.js'
import { realPathOf } from './real-path.js'
import { reportSalvage, type SalvageOutcome } from './salvage-report.js'
import { StateFile } from './state-file.js'
import type { LevelState } from './state.js'
import { StoredValues } from './stored-value.js'
import { LevelFiles } from './sync-files.js'

/** Handed to LevelDB at once. */
const batchBytes = 1 << 20
/** Longer reasons do not fit into a state. */
const longestReason = 400

/**
 * Reads what proves itself of a level store's LevelDB, by our own readers, and writes it into a new
 * LevelDB. LevelDB's own repair is not asked: it puts all tables on one level, where the newest file
 * hides newer versions in older files. Here LevelDB's sequence numbers decide, key by key.
 *
 * The new store stands at a commit from which on the write-ahead log has everything that may be
 * lacking, where there is one.
 */
export async function salvageLevel(
  source: string,
  context: BackendContext,
  progress: Progress
): Promise<SalvageReport> {
  const { vfs, storeId, checksum, directory, options } = context
  const values = new StoredValues(storeId, checksum)
  const state = await readState(source, context)
  const from = `${source}/${databaseName}`
  const sources = await findSources(vfs, from, state?.files)
  const path = `${directory}/${databaseName}`
  const realPath = realPathOf(context)
  vfs.mkdirSync(path)
  const db = await LevelDb.open(realPath, path, options, true)
  try {
    const proves: EntryCheck = (key, value) => values.proves(value, key)
    const read = sources && new LevelEntries(vfs, sources.tables, sources.logs.entries, proves)
    const entries = read === undefined ? 0 : await copyEntries(read, db, progress)
    const outcome = { read, entries, path: from, ...judge(sources, read, state, values, context) }
    const { seq } = outcome
    await db.write([{ type: 'put', key: appliedKey, value: appliedValue(values, seq) }], true)
    const files = await new LevelFiles(vfs, path).sync()
    const unverified = state?.unverified ?? outcome.unverified
    const first = { durableSeq: seq, files, ...(unverified !== undefined && { unverified }) }
    await (await StateFile.create(vfs, directory, storeId, checksum, first)).close()
    await vfs.syncDirectory(directory)
    return reportSalvage(outcome)
  } finally {
    await db.close()
  }
}

/** What the source says of itself; undefined where that is damaged. */
async function readState(
  source: string,
  { vfs, storeId, checksum }: BackendContext
): Promise<LevelState | undefined> {
  try {
    const file = await StateFile.open(vfs, source, storeId, checksum, true)
    await file.close()
    return file.state
  } catch (error) {
    // What a newer version wrote is not damage.
    if (isCorruption(error)) return undefined
    throw error
  }
}

async function copyEntries(read: LevelEntries, db: LevelDb, progress: Progress): Promise<number> {
  let count = 0
  let bytes = 0
  let operations: LevelOperation[] = []
  const write = async (): Promise<void> => {
    progress.signal?.throwIfAborted()
    if (operations.length > 0) await db.write(operations, false)
    operations = []
    bytes = 0
    progress.report(count, 0, 'entries')
    await turn()
  }
  try {
    await read.start()
    for (;;) {
      const entry = await read.next()
      if (entry === undefined) break
      // The stored value goes over as it is: its checksum speaks of key and commit alone.
      operations.push({ type: 'put', ...entry })
      count++
      bytes += entry.key.length + entry.value.length
      if (bytes >= batchBytes) await write()
    }
    await write()
    return count
  } finally {
    await read.close()
  }
}

/** At which commit the new store stands, and what its lacks come to. */
function judge(
  sources: SalvageSources | undefined,
  read: LevelEntries | undefined,
  state: LevelState | undefined,
  values: StoredValues,
  { logFirstSeq, directory }: BackendContext
): Pick<SalvageOutcome, 'seq' | 'logLosses' | 'isReplayed' | 'unverified'> {
  /** The log has every commit behind this one. */
  const logHasFrom = logFirstSeq === undefined ? undefined : Math.max(0, logFirstSeq - 1)
  if (sources === undefined || read === undefined) {
    return { seq: logHasFrom ?? 0, logLosses: [], isReplayed: false, unverified: undefined }
  }
  const seqOf = (value: Buffer | undefined): number | undefined =>
    value && values.proves(value, appliedKey) ? values.seqOf(value) : undefined
  const { logs, unknown } = sources
  const inTables = seqOf(read.applied)
  const applied = seqOf(logs.applied) ?? inTables
  const durable = state?.durableSeq
  const logLosses: SalvageOutcome['logLosses'] =
    logs.losses.length === 0 && applied !== undefined && applied < (durable ?? 0)
      ? [{ path: directory, offset: 0, reason: `commits from ${applied + 1} on are missing` }]
      : logs.losses
  const before = seqOf(logs.appliedBeforeLoss) ?? inTables
  const isReplayed =
    logLosses.length > 0 && before !== undefined && logHasFrom !== undefined && before >= logHasFrom
  const unverified =
    unknown === undefined ? undefined : unverifiedReason(unknown.slice(0, longestReason))
  const sure = Math.min(before ?? Infinity, durable ?? Infinity)
  const hasLost = read.losses.length > 0 || unknown !== undefined || logLosses.length > 0
  // Replaying more than is lacking does no harm, and brings back what the log has of it.
  const replayFrom = hasLost && !(isReplayed && read.losses.length === 0) ? logHasFrom : undefined
  const seq = replayFrom ?? (Number.isFinite(sure) ? sure : (logHasFrom ?? 0))
  return { seq, logLosses, isReplayed, unverified }
}

function unverifiedReason(reason: string): string {
  return (
    `this store was repaired without knowing which of LevelDB's tables were in use (${reason}): ` +
    'older values or removed keys may have come back anywhere; import or migrate verified data ' +
    'into a new store'
  )
}
