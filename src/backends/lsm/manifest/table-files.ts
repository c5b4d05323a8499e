import type { BackendContext, Finding } from '../../../backend/backend.js'
import { formatKey } from '../../../base/bytes.js'
import { KintsugiError } from '../../../errors.js'
import { parseTableName, type TableMeta, tableName } from '../table-meta.js'
import { currentName, currentTemporaryName, manifestName } from './format.js'
import type { Manifest } from './manifest.js'
import { setAside } from './set-aside.js'
import type { Version } from './version.js'

/** A live table that cannot be what the manifest says: the keys of its span are damaged. */
export interface DamagedTable {
  readonly table: TableMeta
  readonly path: string
  readonly reason: string
}

/** What became of the files of a backend's directory at an opening. */
export interface TableFiles {
  readonly damaged: readonly DamagedTable[]
  /** Names of files that were removed, by rule. */
  readonly removed: readonly string[]
  /** Names of files that no rule explains; they are in quarantine now. */
  readonly quarantined: readonly string[]
  readonly findings: readonly Finding[]
  /** Above the number of every table that the directory or the manifest knows. */
  readonly nextTable: number
}

/** Reads and verifies a table's footer; CORRUPTION where there is none of this store. */
export type FooterReader = (path: string) => Promise<TableMeta>

type FilesContext = Pick<
  BackendContext,
  'vfs' | 'directory' | 'quarantine' | 'readOnly' | 'epoch' | 'logFirstSeq'
>

/** What a file is, seen from the manifest. */
type FileClass =
  | { readonly kind: 'kept' }
  | { readonly kind: 'removable'; readonly why: string }
  | { readonly kind: 'unexplained'; readonly why: string }

/**
 * Brings a directory and its manifest into agreement, before anything else is written to it (rule
 * B2). By name and footer a file is one of these, and only a rule ever removes it:
 *
 * | file | what happens |
 * |---|---|
 * | live table, there with its size | kept |
 * | live table, missing or of another size | kept, and its span reported as damaged |
 * | obsolete table | kept: the backend retires it with an edit of its own |
 * | retired table | removed |
 * | temporary of this or an earlier epoch | removed: its job has ended |
 * | output of a job that was never installed, its inputs all live, or replaced since | removed |
 * | output of a flush that was never installed, all of it behind `durableSeq` | removed |
 * | anything else | moved to quarantine |
 *
 * Read-only, nothing is touched: what would have been is a finding. Nor where the manifest lacks what
 * the log no longer has: it is an older one, and tables that it does not know are all there is.
 */
export async function settleTableFiles(
  context: FilesContext,
  manifest: Manifest,
  readFooter: FooterReader,
  expected: readonly string[] = []
): Promise<TableFiles> {
  const { vfs, directory } = context
  const { version } = manifest
  const isOlder = version.durableSeq + 1 < (context.logFirstSeq ?? 0)
  const known = new Set([...expected, manifestName, currentName, currentTemporaryName])
  const removable: { name: string; why: string }[] = []
  const unexplained: { name: string; why: string }[] = []
  let nextTable = version.nextTable
  for (const name of await vfs.readdir(directory)) {
    if (known.has(name)) continue
    const parsed = parseTableName(name)
    if (parsed) nextTable = Math.max(nextTable, parsed.number + 1)
    const found = await classify(context, version, name, readFooter)
    if (found.kind === 'removable') removable.push({ name, why: found.why })
    else if (found.kind === 'unexplained') unexplained.push({ name, why: found.why })
  }
  const damaged = version.tables().flatMap((table) => damageOf(context, table) ?? [])
  const findings = [
    ...damaged.map(damageFinding),
    ...unexplained.map((file) => unexplainedFinding(context, file))
  ]
  const result = { damaged, removed: names(removable), findings, nextTable }
  if (context.readOnly || isOlder) {
    findings.push(...removable.map((file) => leftoverFinding(context, file)))
    return { ...result, removed: [], quarantined: [] }
  }
  await removeInOrder(context, version, names(removable))
  manifest.forget(version.retired.map(({ number }) => number))
  await setAside(vfs, directory, names(unexplained), context.quarantine)
  return { ...result, quarantined: names(unexplained) }
}

async function classify(
  context: FilesContext,
  version: Version,
  name: string,
  readFooter: FooterReader
): Promise<FileClass> {
  const { vfs, directory, epoch } = context
  const path = `${directory}/${name}`
  const parsed = parseTableName(name)
  if (!parsed) return { kind: 'unexplained', why: 'no file of the store has such a name' }
  if (vfs.statSync(path)?.isDirectory !== false) {
    return { kind: 'unexplained', why: 'it is not a file' }
  }
  const { number } = parsed
  if (parsed.epoch !== undefined) {
    return parsed.epoch <= epoch
      ? { kind: 'removable', why: 'a job that has ended was writing it' }
      : { kind: 'unexplained', why: `this opening is ${epoch} and it is from ${parsed.epoch}` }
  }
  // Another spelling of the number would be another file.
  if (name !== tableName(number)) return { kind: 'unexplained', why: 'its name is not canonical' }
  if (version.table(number)) return { kind: 'kept' }
  const leftover = version.leftover(number)
  if (leftover) {
    return leftover.isRetired ? { kind: 'removable', why: 'it is retired' } : { kind: 'kept' }
  }
  return classifyOrphan(context, version, number, readFooter)
}

/** A table that the manifest does not know: output of a job that was never installed, or foreign. */
async function classifyOrphan(
  context: FilesContext,
  version: Version,
  number: number,
  readFooter: FooterReader
): Promise<FileClass> {
  let footer: TableMeta
  const path = `${context.directory}/${tableName(number)}`
  try {
    footer = await readFooter(path)
  } catch (error) {
    if (!isUnreadable(error)) throw error
    return { kind: 'unexplained', why: `the manifest has no such table, and ${error.message}` }
  }
  if (footer.number !== number) {
    return { kind: 'unexplained', why: `its footer says that it is table ${footer.number}` }
  }
  const { inputs } = footer.job
  if (inputs.length === 0) {
    return footer.minSeq > version.durableSeq
      ? { kind: 'removable', why: 'a flush that was not installed wrote it; the log has it all' }
      : { kind: 'unexplained', why: 'the manifest has no such table, and the log may lack it' }
  }
  // Where what it was made from has gone, it was installed, and the manifest is an older one.
  const isKnown = (input: number) => {
    const table = version.table(input)
    if (table === undefined) return version.leftover(input) !== undefined
    return damageOf(context, table) === undefined
  }
  return inputs.every(isKnown)
    ? { kind: 'removable', why: 'a compaction that was not installed wrote it' }
    : { kind: 'unexplained', why: 'the store has neither it nor all that it was made from' }
}

/** What is no failure of the moment: the file will read no better the next time. */
function isUnreadable(error: unknown): error is KintsugiError {
  const codes = ['KINTSUGI_CORRUPTION', 'KINTSUGI_UNSUPPORTED_VERSION', 'KINTSUGI_IO']
  return error instanceof KintsugiError && codes.includes(error.code)
}

function damageOf({ vfs, directory }: FilesContext, table: TableMeta): DamagedTable | undefined {
  const path = `${directory}/${tableName(table.number)}`
  const stat = vfs.statSync(path)
  if (stat === undefined) return { table, path, reason: `${path} is missing` }
  if (stat.isDirectory) return { table, path, reason: `${path} is a directory and not a table` }
  if (stat.sizeBytes === table.sizeBytes) return undefined
  const sizes = `${stat.sizeBytes} bytes instead of ${table.sizeBytes}`
  return { table, path, reason: `${path} has ${sizes}` }
}

/** Retired tables oldest data first, so that none outlives what hides its keys (rule B3). */
async function removeInOrder(
  { vfs, directory }: FilesContext,
  version: Version,
  removable: readonly string[]
): Promise<void> {
  const retired = version.retired.map(({ number }) => tableName(number))
  const left = new Set(removable)
  const ordered = retired.filter((name) => left.delete(name))
  for (const name of [...ordered, ...left]) await vfs.unlink(`${directory}/${name}`)
  // Also when none was there: only now is it certain that no retired table comes back.
  if (ordered.length + left.size + retired.length > 0) await vfs.syncDirectory(directory)
}

function names(files: readonly { readonly name: string }[]): string[] {
  return files.map(({ name }) => name)
}

function damageFinding({ table, path, reason }: DamagedTable): Finding {
  const { low, high, minSeq, maxSeq } = table
  const until = high === undefined ? 'the last one' : formatKey(high)
  return {
    severity: 'error',
    kind: reason.endsWith('is missing') ? 'missing-table' : 'wrong-table-size',
    message: `${reason}: keys from ${formatKey(low)} to ${until} are affected; run a repair`,
    path,
    firstSeq: minSeq,
    lastSeq: maxSeq,
    lowKey: low,
    ...(high && { highKey: high })
  }
}

function unexplainedFinding(
  { directory, quarantine, readOnly }: FilesContext,
  { name, why }: { name: string; why: string }
): Finding {
  const fate = readOnly ? 'a writable opening moves it to quarantine' : `moved to ${quarantine}`
  return {
    severity: 'warning',
    kind: 'unexplained-file',
    message: `${directory}/${name}: ${why}; ${fate}`,
    path: `${directory}/${name}`
  }
}

function leftoverFinding(
  { directory }: FilesContext,
  { name, why }: { name: string; why: string }
): Finding {
  return {
    severity: 'warning',
    kind: 'leftover-file',
    message: `${directory}/${name}: ${why}; a writable opening removes it`,
    path: `${directory}/${name}`
  }
}
