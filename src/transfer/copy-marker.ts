import type { Checksum } from '../codec/checksum.js'
import { KintsugiError } from '../errors.js'
import { copyMarkerName, isCopyMarker } from '../store/store-directory.js'
import type { Vfs } from '../vfs/vfs.js'

/** Which state of which source is copied; the format is in format.md. */
export type SourceState =
  | {
      readonly kind: 'store'
      readonly path: string
      readonly storeId: string
      readonly seq: number
    }
  | { readonly kind: 'leveldb'; readonly path: string; readonly digest: string }

export type DestinationKind = 'store' | 'leveldb'

/** What the marker of a copy says. */
export interface CopyState {
  readonly phase: 'copying' | 'publishing' | 'clearing'
  /**
   * Sixteen random bytes as hexadecimal, in what the copy makes too: a marker speaks of nothing
   * else, wherever it comes to lie.
   */
  readonly id: string
  readonly source: SourceState
  readonly destination: DestinationKind
}

const magic = Buffer.from('KINTCOPY')
const formatVersion = 2
const headerBytes = 24
const maxBytes = 64 * 1024
const seed = 0x434f5059
const storePhases = ['copying', 'clearing'] as const
const levelDbPhases = [...storePhases, 'publishing'] as const

/** The file that says that its directory is a copy which is not complete. */
export class CopyMarker {
  readonly #vfs: Vfs
  readonly #directory: string
  readonly #checksum: Checksum

  constructor(vfs: Vfs, directory: string, checksum: Checksum) {
    this.#vfs = vfs
    this.#directory = directory
    this.#checksum = checksum
  }

  /** What it says; undefined where there is none. */
  async read(): Promise<CopyState | undefined> {
    const path = this.#path
    const stat = this.#vfs.statSync(path)
    if (stat === undefined) return undefined
    if (stat.sizeBytes < headerBytes || stat.sizeBytes > maxBytes) throw damaged(path)
    const bytes = Buffer.alloc(stat.sizeBytes)
    const file = await this.#vfs.open(path, 'read')
    try {
      if ((await file.read(bytes, 0)) < bytes.length) throw damaged(path)
    } finally {
      await file.close()
    }
    return decode(bytes, path, this.#checksum)
  }

  /** Makes it say this, durably; another one is replaced in one step. */
  async write(state: CopyState): Promise<void> {
    const temporary = `${this.#path}.tmp`
    if (this.#vfs.statSync(temporary) !== undefined) await this.#vfs.unlink(temporary)
    const file = await this.#vfs.open(temporary, 'create')
    try {
      await file.writeAndDatasync(encode(state, this.#checksum), 0)
    } finally {
      await file.close()
    }
    await this.#vfs.rename(temporary, this.#path)
    await this.#vfs.syncDirectory(this.#directory)
  }

  /** Takes it away, durably: from here on the directory is what the copy has made of it. */
  async remove(): Promise<void> {
    const names = this.#vfs.readdirSync(this.#directory).filter(isCopyMarker)
    // The marker itself goes last.
    for (const name of names.reverse()) await this.#vfs.unlink(`${this.#directory}/${name}`)
    await this.#vfs.syncDirectory(this.#directory)
  }

  get #path(): string {
    return `${this.#directory}/${copyMarkerName}`
  }
}

/** Whether a copy of one may go on with the other; where they lie does not matter. */
export function isSameState(a: SourceState, b: SourceState): boolean {
  if (a.kind === 'store') return b.kind === 'store' && a.storeId === b.storeId && a.seq === b.seq
  return b.kind === 'leveldb' && a.digest === b.digest
}

function encode(state: CopyState, checksum: Checksum): Buffer {
  const text = Buffer.from(JSON.stringify(state))
  const bytes = Buffer.alloc(headerBytes + text.length)
  magic.copy(bytes, 0)
  bytes.writeUInt32LE(formatVersion, 8)
  bytes.writeUInt32LE(text.length, 12)
  text.copy(bytes, headerBytes)
  checksum.hash(bytes, seed, formatVersion)
  bytes.writeUInt32LE(checksum.low, 16)
  bytes.writeUInt32LE(checksum.high, 20)
  return bytes
}

function decode(bytes: Buffer, path: string, checksum: Checksum): CopyState {
  const version = bytes.readUInt32LE(8)
  const [low, high] = [bytes.readUInt32LE(16), bytes.readUInt32LE(20)]
  const sized = bytes.readUInt32LE(12) === bytes.length - headerBytes
  if (!sized || !bytes.subarray(0, magic.length).equals(magic)) throw damaged(path)
  bytes.fill(0, 16, 24)
  checksum.hash(bytes, seed, version)
  if (checksum.low !== low || checksum.high !== high) throw damaged(path)
  if (version !== formatVersion) {
    throw new KintsugiError(
      'KINTSUGI_UNSUPPORTED_VERSION',
      `${path} has format version ${version}, which this version of kintsugi-db does not know; ` +
        'finish the copy with the version that began it, or delete the directory if it holds ' +
        'nothing but that copy',
      { path }
    )
  }
  const state = parse(bytes.toString('utf8', headerBytes))
  if (state === undefined) throw damaged(path)
  return state
}

/** The state in a marker's text; undefined where the text is none. */
function parse(text: string): CopyState | undefined {
  let state: Partial<Record<keyof CopyState, unknown>> | null
  try {
    state = JSON.parse(text)
  } catch {
    return undefined // not JSON: the caller reports the marker as damaged
  }
  const source = state?.source as Partial<Record<string, unknown>> | null | undefined
  const phases = state?.destination === 'store' ? storePhases : levelDbPhases
  const sound =
    (phases as readonly unknown[]).includes(state?.phase) &&
    (state?.destination === 'store' || state?.destination === 'leveldb') &&
    typeof state.id === 'string' &&
    /^[0-9a-f]{32}$/.test(state.id) &&
    typeof source?.['path'] === 'string' &&
    (source['kind'] === 'store'
      ? typeof source['storeId'] === 'string' && Number.isSafeInteger(source['seq'])
      : source['kind'] === 'leveldb' && typeof source['digest'] === 'string')
  return sound ? (state as unknown as CopyState) : undefined
}

function damaged(path: string): KintsugiError {
  return new KintsugiError(
    'KINTSUGI_CORRUPTION',
    `${path} marks an unfinished copy but is damaged, so nothing says of what; delete the ` +
      'directory if it holds nothing but that copy, and copy again, nothing was changed',
    { path }
  )
}
