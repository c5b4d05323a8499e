import { Checksum } from '../codec/checksum.js'
import { KintsugiError } from '../errors.js'
import { checkOptionNames, optionNames, type StoreOptions } from '../options.js'
import { requestOf, type OpenOptions } from '../open.js'
import type { OpenRequest } from '../store/open-store.js'
import { interruptible, progressOf, type WorkOptions } from '../store/work.js'
import type { DestinationKind, SourceState } from './copy-marker.js'
import type { EntrySource } from './ends.js'
import { defaultBounds, type BatchBounds } from './entry.js'
import { LevelDbSink, LevelDbSource } from './level-db-ends.js'
import { StoreSink, StoreSource } from './store-ends.js'
import { transfer, type TransferReport } from './transfer.js'

/** Options of a store that a copy has no use for, or decides itself. */
const decided = [
  'createIfMissing',
  'errorIfExists',
  'readOnly',
  'durability',
  'keyEncoding',
  'valueEncoding'
] as const
type Decided = (typeof decided)[number]

/** How to copy into a new store: its options, and how the work reports and is interrupted. */
export interface MigrateOptions
  extends
    Omit<StoreOptions, Decided>,
    Pick<OpenOptions, 'backend' | 'native' | 'vfs' | 'clock' | 'random'>,
    WorkOptions {}

/** How to copy into a new LevelDB database; of the options of a store those that LevelDB has too. */
export interface ExportLevelDbOptions
  extends
    Pick<MigrateOptions, 'profile' | 'cacheBytes' | 'native' | 'vfs' | 'clock' | 'random'>,
    Pick<StoreOptions, 'memtableBytes' | 'blockBytes' | 'compression'>,
    WorkOptions {}

const readerNames = ['profile', 'cacheBytes', 'native', 'vfs', 'clock', 'random'] as const
const workNames = ['signal', 'onProgress'] as const
const exportNames = [...readerNames, ...workNames, 'memtableBytes', 'blockBytes', 'compression']
const migrateNames = [
  ...optionNames.filter((name) => !(decided as readonly string[]).includes(name)),
  ...readerNames,
  ...workNames,
  'backend'
]

/**
 * Copies a store that nobody writes to into a new one, of another backend or the same: this is how
 * the backend of a store is changed. The source is opened read-only and stays as it is.
 *
 * Until everything is copied, durable, and read back with the same SHA-256 on both sides, the
 * destination is marked as unfinished and does not open (`KINTSUGI_UNFINISHED_COPY`). Interrupted in
 * whatever way, by the signal too, the same call goes on where it stopped, or begins anew where the
 * source has changed since. A destination that holds anything else is refused.
 *
 * Rejects like `open`, with `KINTSUGI_STORE_MISSING` where there is no source,
 * `KINTSUGI_STORE_EXISTS` or `KINTSUGI_FOREIGN_DIRECTORY` where the destination is taken, and
 * `KINTSUGI_CORRUPTION` where the source is damaged or the copy is not the same.
 */
export async function migrate(
  source: string,
  destination: string,
  options: MigrateOptions = {}
): Promise<TransferReport> {
  return copyBetween({ from: 'store', to: 'store' }, source, destination, options)
}

/**
 * Copies a plain LevelDB database that nobody has open into a new store. It stays byte for byte as it
 * is; damage in it, which LevelDB itself would pass over, is `KINTSUGI_CORRUPTION`. Otherwise like
 * `migrate`. Needs the package `classic-level`.
 */
export async function importLevelDb(
  source: string,
  destination: string,
  options: MigrateOptions = {}
): Promise<TransferReport> {
  return copyBetween({ from: 'leveldb', to: 'store' }, source, destination, options)
}

/**
 * Copies a store that nobody writes to into a new plain LevelDB database, for programs that know only
 * that. Otherwise like `migrate`; but LevelDB itself does not know of the mark: do not open it there
 * before this has resolved, which would create an empty one. Needs the package `classic-level`.
 */
export async function exportLevelDb(
  source: string,
  destination: string,
  options: ExportLevelDbOptions = {}
): Promise<TransferReport> {
  return copyBetween({ from: 'store', to: 'leveldb' }, source, destination, options)
}

/** What is copied into what. */
interface CopyKind {
  readonly from: SourceState['kind']
  readonly to: DestinationKind
}

/** Every copy there is; with `bounds` of their own, tests find more places to interrupt it. */
export async function copyBetween(
  kind: CopyKind,
  source: string,
  destination: string,
  options: MigrateOptions,
  bounds: BatchBounds = defaultBounds
): Promise<TransferReport> {
  checkOptionNames(options, kind.to === 'leveldb' ? exportNames : migrateNames)
  const { signal, onProgress } = options
  const from = readingRequest(source, options)
  const to = creatingRequest(destination, options)
  checkApart(from, to)
  const progress = progressOf({ signal, onProgress })
  const openSource = async (): Promise<EntrySource> =>
    kind.from === 'leveldb'
      ? LevelDbSource.open({ ...from, bounds, progress })
      : StoreSource.open(from, await Checksum.create(), bounds)
  const sink =
    kind.to === 'leveldb' ? new LevelDbSink({ ...to, bounds, progress }) : new StoreSink(to, bounds)
  const { vfs, clock, random } = to
  const plan = { vfs, clock, random, openSource, sink, progress }
  return interruptible(transfer(plan), signal)
}

/** How to open a source: nothing of it is changed. */
function readingRequest(path: string, options: ExportLevelDbOptions): OpenRequest {
  const given = readerNames.filter((name) => options[name] !== undefined)
  const chosen = Object.fromEntries(given.map((name) => [name, options[name]]))
  return requestOf(path, { ...chosen, readOnly: true })
}

/** How to create a destination. */
function creatingRequest(path: string, options: MigrateOptions): OpenRequest {
  const { signal: _, onProgress: __, backend = 'btree', ...rest } = options
  // Weaker durability is for the way; at the end everything is on the disk.
  return requestOf(path, { ...rest, backend, durability: 'os' })
}

/** A copy into a part of its own source would change it. */
function checkApart(from: OpenRequest, to: OpenRequest): void {
  const [source, destination] = [from, to].map(({ vfs, path }) => vfs.realPath(path) ?? path)
  if (!`${destination}/`.startsWith(`${source}/`) || destination === source) return
  throw new KintsugiError(
    'KINTSUGI_INVALID_ARGUMENT',
    `the destination ${to.path} lies inside the source; choose a directory of its own`,
    { path: to.path }
  )
}
