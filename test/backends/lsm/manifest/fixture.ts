import type { BackendContext } from '../../../../dist/backend/backend.js'
import { Manifest } from '../../../../dist/backends/lsm/manifest/manifest.js'
import type { Version } from '../../../../dist/backends/lsm/manifest/version.js'
import type { TableMeta } from '../../../../dist/backends/lsm/table-meta.js'
import { SeededRandom } from '../../../../dist/base/random.js'
import { Checksum } from '../../../../dist/codec/checksum.js'
import { KintsugiError } from '../../../../dist/errors.js'
import { resolveOptions } from '../../../../dist/options.js'
import { MemVfs } from '../../../../dist/vfs/mem-vfs.js'
import type { Vfs } from '../../../../dist/vfs/vfs.js'
import { TestClock } from '../../../helpers/test-clock.js'

export const checksum = await Checksum.create()
export const storeId = Buffer.from('00112233445566778899aabbccddeeff', 'hex')
export const directory = '/lsm'

export function contextOf(vfs: Vfs, more: Partial<BackendContext> = {}): BackendContext {
  return {
    vfs,
    directory,
    quarantine: '/quarantine/now',
    storeId,
    checksum,
    clock: new TestClock(),
    random: new SeededRandom(1),
    options: { ...resolveOptions({}), walSegmentBytes: 4096 },
    readOnly: false,
    epoch: 1,
    notify: () => undefined,
    ...more
  }
}

export function newDirectory(vfs: Vfs): void {
  vfs.mkdirSync(directory)
  vfs.syncDirectorySync('/')
}

export async function created(): Promise<{ vfs: MemVfs; manifest: Manifest }> {
  const vfs = new MemVfs()
  newDirectory(vfs)
  return { vfs, manifest: await Manifest.create(contextOf(vfs)) }
}

export const opened = (vfs: Vfs, more: Partial<BackendContext> = {}): Promise<Manifest> =>
  Manifest.open(contextOf(vfs, { epoch: 2, ...more }))

/** A table record in which only what matters to a test is said. */
export function tableOf(
  number: number,
  level = 0,
  low = 'a',
  high: string | undefined = 'z',
  more: Partial<TableMeta> = {}
): TableMeta {
  return {
    number,
    level,
    sizeBytes: 100 + number,
    sumLow: number * 7,
    sumHigh: 0xffff_fff0,
    minSeq: 1,
    maxSeq: number,
    entries: 10,
    deletes: 2,
    rangeTombstones: 1,
    rawBytes: 2 ** 40 + number,
    low: Buffer.from(low),
    high: high === undefined ? undefined : Buffer.from(high),
    job: { firstOutput: number, isLast: true, inputs: [] },
    ...more
  }
}

/** What a version is, as comparable data. */
export function shapeOf(version: Version): unknown {
  const { levels, durableSeq, nextTable, leftovers } = version
  return structuredClone({
    levels: levels.map((level) => level.map(plainTable)),
    durableSeq,
    nextTable,
    leftovers
  })
}

function plainTable(table: TableMeta) {
  const { low, high } = table
  return {
    ...table,
    low: Buffer.from(low).toString('hex'),
    high: high && Buffer.from(high).toString('hex')
  }
}

/** Live tables by level and the durable sequence number: what a crash must not mix up. */
export function stateOf(version: Version): string {
  const levels = version.levels.map((level) => level.map(({ number }) => number).join(' '))
  return `${version.durableSeq}: ${levels.join(' | ')}`
}

export async function codeOf(action: () => unknown): Promise<string> {
  try {
    await action()
    return 'none'
  } catch (error) {
    return error instanceof KintsugiError ? error.code : String(error)
  }
}

export async function errorOf(action: () => unknown): Promise<KintsugiError> {
  try {
    await action()
  } catch (error) {
    if (error instanceof KintsugiError) return error
    throw error
  }
  throw new Error('nothing failed')
}
