import { Checksum } from '../codec/checksum.js'
import { KintsugiError } from '../errors.js'
import { checkOptionNames, optionNames, type StoreOptions } from '../options.js'
import { requestOf, type OpenOptions } from '../open.js'
import { progressOf, type WorkOptions } from '../store/work.js'
import { defaultBounds, type BatchBounds } from './entry.js'
import { StoreSink, StoreSource } from './store-ends.js'
import { transfer, type TransferReport } from './transfer.js'

/** Options of a store that a copy has no use for, or decides itself. */
type Decided =
  | 'createIfMissing'
  | 'errorIfExists'
  | 'readOnly'
  | 'durability'
  | 'keyEncoding'
  | 'valueEncoding'

const decided: readonly string[] = [
  'createIfMissing',
  'errorIfExists',
  'readOnly',
  'durability',
  'keyEncoding',
  'valueEncoding'
] satisfies readonly Decided[]

/** How to copy into a new store: its options, and how the work reports and is interrupted. */
export interface MigrateOptions
  extends
    Omit<StoreOptions, Decided>,
    Pick<OpenOptions, 'backend' | 'native' | 'vfs' | 'clock' | 'random'>,
    WorkOptions {}

const worldNames = ['native', 'vfs', 'clock', 'random'] as const
const migrateOptionNames = [
  ...optionNames.filter((name) => !decided.includes(name)),
  ...worldNames,
  'backend',
  'signal',
  'onProgress'
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
  return migrateInBatches(source, destination, options, defaultBounds)
}

/** The same with batches of a given size, for tests. */
export async function migrateInBatches(
  source: string,
  destination: string,
  options: MigrateOptions,
  bounds: BatchBounds
): Promise<TransferReport> {
  checkOptionNames(options, migrateOptionNames)
  const { signal, onProgress, backend = 'btree', ...rest } = options
  const progress = progressOf({ signal, onProgress })
  const sink = requestOf(destination, { ...rest, backend, durability: 'os' })
  const { profile, cacheBytes, native, vfs, clock, random } = rest
  const reading = requestOf(source, {
    ...given({ profile, cacheBytes, native, vfs, clock, random }),
    readOnly: true
  })
  checkApart(reading.path, sink.path)
  return transfer({
    vfs: sink.vfs,
    clock: sink.clock,
    openSource: async () => StoreSource.open(reading, await Checksum.create(), bounds),
    sink: new StoreSink(sink, bounds),
    progress
  })
}

/** A copy into a part of its own source would change it. */
function checkApart(source: string, destination: string): void {
  if (!`${destination}/`.startsWith(`${source}/`) || destination === source) return
  throw new KintsugiError(
    'KINTSUGI_INVALID_ARGUMENT',
    `the destination ${destination} lies inside the source; choose a directory of its own`,
    { path: destination }
  )
}

/** Without the options that were not given. */
function given<O extends object>(options: O): { [Name in keyof O]?: Exclude<O[Name], undefined> } {
  const entries = Object.entries(options).filter(([, value]) => value !== undefined)
  return Object.fromEntries(entries) as { [Name in keyof O]?: Exclude<O[Name], undefined> }
}
