import type { BackendContext, Finding, Progress, VerifyLevel } from '../../../backend/backend.js'
import { KintsugiError } from '../../../errors.js'
import type { Vfs } from '../../../vfs/vfs.js'
import type { Checksum } from '../../../codec/checksum.js'
import { Manifest } from '../manifest/manifest.js'
import { settleTableFiles } from '../manifest/table-files.js'
import type { Version } from '../manifest/version.js'
import type { Leftover } from '../manifest/version-edit.js'
import { parseTableName, tableName, type TableMeta } from '../table-meta.js'
import { checkTable, readFooter } from '../table/table-check.js'
import { footerBytes } from '../table/format.js'
import { decodeFooter } from '../table/table-footer.js'

/** What the store is made of, as far as that can be told without opening it. */
export interface VersionReport {
  /** `footers`: the manifest cannot be read, so every table speaks for itself. */
  readonly source: 'manifest' | 'footers'
  /** Commits up to here are in the tables; known by the manifest alone. */
  readonly durableSeq: number | undefined
  readonly nextTable: number | undefined
  /** Level by level; from footers: the level that each table was made for. */
  readonly levels: readonly (readonly TableMeta[])[]
  /** Tables that were replaced and whose files are there still. */
  readonly leftovers: readonly Leftover[]
  readonly findings: readonly Finding[]
}

/** One file, and what is wrong with it. */
export interface TableReport {
  readonly path: string
  /** What its footer says; undefined where that cannot be read. */
  readonly meta: TableMeta | undefined
  readonly findings: readonly Finding[]
}

/** Reads the manifest, and where it is damaged the footers of the tables; changes nothing. */
export async function describeVersion(context: BackendContext): Promise<VersionReport> {
  const read = await readVersion(context)
  if ('finding' in read) return fromFooters(context, read.finding)
  const { version, findings } = read
  const { durableSeq, nextTable, levels } = version
  const { vfs, directory } = context
  const isThere = ({ number }: Leftover) =>
    vfs.statSync(`${directory}/${tableName(number)}`) !== undefined
  const leftovers = version.leftovers.filter(isThere)
  return { source: 'manifest', durableSeq, nextTable, levels, leftovers, findings }
}

/**
 * Checks every table file by itself, against the manifest where that can be read. What the manifest
 * names and is not there, and the other way round, is in `findings`.
 */
export async function checkTableFiles(
  context: BackendContext,
  level: VerifyLevel,
  progress: Progress
): Promise<{ tables: TableReport[]; findings: readonly Finding[] }> {
  const { vfs, directory } = context
  const read = await readVersion(context)
  const version = 'version' in read ? read.version : undefined
  const findings = 'version' in read ? read.findings : [read.finding]
  const paths = await tablePaths(context)
  const tables: TableReport[] = []
  for (const path of paths) {
    const { number } = parseTableName(path.slice(directory.length + 1)) ?? {}
    const recorded = number === undefined ? undefined : version?.table(number)
    const one = { vfs, path, storeId: context.storeId, checksum: context.checksum, recorded }
    tables.push(await checkTableFile(one, level, { report: () => {}, signal: progress.signal }))
    progress.report(tables.length, paths.length, 'tables')
  }
  return { tables, findings }
}

export interface TableFile {
  readonly vfs: Vfs
  readonly path: string
  readonly checksum: Checksum
  /** The store that it belongs to; undefined: the one that its footer names. */
  readonly storeId: Uint8Array | undefined
  /** What the manifest says of it. */
  readonly recorded?: TableMeta | undefined
}

/** Checks one file: that it is a table, of this store and number, and whole. */
export async function checkTableFile(
  file: TableFile,
  level: VerifyLevel,
  progress: Progress
): Promise<TableReport> {
  const { vfs, path, checksum, recorded } = file
  let storeId: Uint8Array
  let meta: TableMeta | undefined
  try {
    storeId = file.storeId ?? (await readStoreId(file))
  } catch (error) {
    return { path, meta, findings: [findingOf(error, path)] }
  }
  const table = { storeId, checksum }
  const findings = await checkTable(vfs, path, recorded, table, level, progress)
  try {
    meta = await readFooter(vfs, path, table)
  } catch (error) {
    // Among the findings already.
    findingOf(error, path)
  }
  return { path, meta, findings: [...(meta ? misnamed(path, meta) : []), ...findings] }
}

type ReadVersion =
  | { readonly version: Version; readonly findings: readonly Finding[] }
  | { readonly finding: Finding }

async function readVersion(context: BackendContext): Promise<ReadVersion> {
  const { vfs, directory, storeId, checksum } = context
  let manifest: Manifest
  try {
    manifest = await Manifest.open(context)
  } catch (error) {
    return { finding: findingOf(error, directory) }
  }
  try {
    const { findings } = await settleTableFiles(context, manifest, (path) =>
      readFooter(vfs, path, { storeId, checksum })
    )
    return { version: manifest.version, findings }
  } finally {
    await manifest.close(false)
  }
}

async function fromFooters(context: BackendContext, finding: Finding): Promise<VersionReport> {
  const { vfs, storeId, checksum } = context
  const findings = [finding]
  const levels: TableMeta[][] = []
  for (const path of await tablePaths(context)) {
    try {
      const meta = await readFooter(vfs, path, { storeId, checksum })
      while (levels.length <= meta.level) levels.push([])
      levels[meta.level].push(meta)
    } catch (error) {
      findings.push(findingOf(error, path))
    }
  }
  const unknown = { durableSeq: undefined, nextTable: undefined, leftovers: [] }
  return { source: 'footers', levels, findings, ...unknown }
}

/** Files that bear the name of a finished table, by number. */
async function tablePaths({ vfs, directory }: BackendContext): Promise<string[]> {
  const names = await vfs.readdir(directory)
  return names
    .filter((name) => {
      const parsed = parseTableName(name)
      return parsed !== undefined && parsed.epoch === undefined
    })
    .map((name) => `${directory}/${name}`)
}

/** The store id in a footer that proves itself. */
async function readStoreId({ vfs, path, checksum }: TableFile): Promise<Uint8Array> {
  const file = await vfs.open(path, 'read')
  try {
    const sizeBytes = file.sizeSync()
    const bytes = Buffer.alloc(Math.min(sizeBytes, footerBytes))
    const count = await file.read(bytes, sizeBytes - bytes.length)
    return decodeFooter(bytes.subarray(0, count), sizeBytes, path, checksum).storeId
  } finally {
    await file.close()
  }
}

function misnamed(path: string, meta: TableMeta): Finding[] {
  const name = path.slice(path.lastIndexOf('/') + 1)
  const number = parseTableName(name)?.number
  if (number === undefined || number === meta.number) return []
  return [
    {
      severity: 'error',
      kind: 'misplaced-table',
      message: `${path} is table ${meta.number}, whose file is called ${tableName(meta.number)}`,
      path
    }
  ]
}

/** Damage as a finding; any other error is one. */
function findingOf(error: unknown, at: string): Finding {
  const codes = ['KINTSUGI_CORRUPTION', 'KINTSUGI_WAL_CORRUPTION', 'KINTSUGI_UNSUPPORTED_VERSION']
  if (!(error instanceof KintsugiError) || !codes.includes(error.code)) throw error
  const { path = at, offset, firstSeq, lastSeq, lowKey, highKey } = error.facts
  return {
    severity: 'error',
    kind: error.code === 'KINTSUGI_UNSUPPORTED_VERSION' ? 'unsupported-version' : 'unreadable',
    message: error.message,
    path,
    ...(offset !== undefined && { offset }),
    ...(firstSeq !== undefined && { firstSeq }),
    ...(lastSeq !== undefined && { lastSeq }),
    ...(lowKey && { lowKey }),
    ...(highKey && { highKey })
  }
}
