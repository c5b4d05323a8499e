import { KintsugiError } from '../errors.js'
import type { Checksum } from '../codec/checksum.js'
import type { Vfs } from '../vfs/vfs.js'
import type { LogWitness } from '../wal/witness.js'

/**
 * What a store is, in two slots: the files STORE-A and STORE-B, 4 KiB each.
 *
 * ```
 * slot := magic "KINTSUGI" | version u32 | textBytes u32 | checksum u64 | text (JSON, UTF-8) | zeros
 * ```
 *
 * All numbers little-endian; the checksum covers magic, version, length and text, seeded with the
 * slot's letter. The valid slot with the higher generation counts; a write goes to the other one,
 * so a torn write never harms the slot that counts (rule S1). The text is JSON because it is
 * written rarely and people have to read it when things go wrong.
 */
export interface Identity {
  /** Rises with every write of a slot. */
  readonly generation: number
  /** Sixteen random bytes as hexadecimal; every file of the store has them in its checksums. */
  readonly storeId: string
  /** Backend, and the options that fix its format. */
  readonly backend: string
  readonly format: Readonly<Record<string, number>>
  /** Names the live data directory, `<backend>-<N>` (rule S4). */
  readonly dataGeneration: number
  /** Highest epoch given out (rule F4). */
  readonly epoch: number
  /** Commits up to here were synced when the slot was written: a witness (rule W6). */
  readonly syncedSeq: number
  /** What the log has to have; see its witnesses (rules W6, B1, S2). */
  readonly log: Pick<LogWitness, 'floor' | 'activeSegment' | 'cleanMark'>
  /** Bits of format features; a reader that does not know one must not open the store. */
  readonly features: number
}

export const formatVersion = 1
const knownFeatures = 0
export const slotNames = ['STORE-A', 'STORE-B'] as const
const slotBytes = 4096
const headerBytes = 24
const magic = Buffer.from('KINTSUGI')

export interface LoadedIdentity {
  readonly identity: Identity
  /** Slot it was read from; the next write goes to the other one. */
  readonly slot: 0 | 1
  readonly warnings: readonly string[]
}

/** The identity of the store in a directory; undefined where neither slot file exists. */
export function loadIdentity(
  vfs: Vfs,
  directory: string,
  checksum: Checksum
): LoadedIdentity | undefined {
  const slots = slotNames.map((_, slot) => readSlot(vfs, directory, slot as 0 | 1, checksum))
  if (slots.every((slot) => slot.state === 'missing')) return undefined
  const [a, b] = slots
  if (a.state === 'valid' && b.state === 'valid') checkAgreement(directory, a.identity, b.identity)
  const best =
    a.state === 'valid' && (b.state !== 'valid' || a.identity.generation > b.identity.generation)
      ? a
      : b
  if (best.state !== 'valid') {
    throw new KintsugiError(
      'KINTSUGI_CORRUPTION',
      `neither ${slotNames.join(' nor ')} in ${directory} is readable (${describeSlots(slots)}); ` +
        'restore them from a backup of the directory, nothing was changed',
      { path: directory }
    )
  }
  const warnings = slots.flatMap((slot, index) =>
    slot.state === 'valid' ? [] : [`identity slot ${slotNames[index]} is ${slot.state}`]
  )
  return { identity: best.identity, slot: best === a ? 0 : 1, warnings }
}

type Slot =
  | { readonly state: 'missing' | 'damaged' }
  | { readonly state: 'valid'; readonly identity: Identity }

function describeSlots(slots: readonly Slot[]): string {
  return slots.map((slot, index) => `${slotNames[index]} ${slot.state}`).join(', ')
}

/** Reads one slot; a newer version or an unknown feature is an error and not damage. */
function readSlot(vfs: Vfs, directory: string, slot: 0 | 1, checksum: Checksum): Slot {
  const path = `${directory}/${slotNames[slot]}`
  if (vfs.statSync(path) === undefined) return { state: 'missing' }
  const bytes = Buffer.alloc(slotBytes)
  const file = vfs.openSync(path, 'read')
  try {
    if (file.readSync(bytes, 0) < headerBytes) return { state: 'damaged' }
  } finally {
    file.closeSync()
  }
  if (!bytes.subarray(0, 8).equals(magic)) return { state: 'damaged' }
  const version = bytes.readUInt32LE(8)
  const textBytes = bytes.readUInt32LE(12)
  if (textBytes > slotBytes - headerBytes) return { state: 'damaged' }
  hashSlot(bytes, textBytes, slot, checksum)
  if (checksum.low !== bytes.readUInt32LE(16) || checksum.high !== bytes.readUInt32LE(20)) {
    return { state: 'damaged' }
  }
  if (version !== formatVersion) throw unsupported(path, `format version ${version}`)
  const identity = parseIdentity(bytes.toString('utf8', headerBytes, headerBytes + textBytes))
  if (identity === undefined) return { state: 'damaged' }
  if ((identity.features & ~knownFeatures) !== 0) {
    throw unsupported(path, `feature bits 0x${identity.features.toString(16)}`)
  }
  return { state: 'valid', identity }
}

/** The identity in a slot's text; undefined where the text is none. */
function parseIdentity(text: string): Identity | undefined {
  let parsed: Partial<Record<keyof Identity, unknown>> | null
  try {
    parsed = JSON.parse(text)
  } catch {
    return undefined // not JSON: the caller reports the slot as damaged
  }
  if (typeof parsed !== 'object' || parsed === null) return undefined
  const { storeId, backend, format, log } = parsed
  const counts = ['generation', 'dataGeneration', 'epoch', 'syncedSeq', 'features'] as const
  const sound =
    counts.every((name) => Number.isSafeInteger(parsed[name]) && (parsed[name] as number) >= 0) &&
    typeof storeId === 'string' &&
    /^[0-9a-f]{32}$/.test(storeId) &&
    typeof backend === 'string' &&
    /^[a-z]+$/.test(backend) &&
    typeof format === 'object' &&
    format !== null &&
    typeof log === 'object' &&
    log !== null
  return sound ? (parsed as unknown as Identity) : undefined
}

function unsupported(path: string, what: string): KintsugiError {
  return new KintsugiError(
    'KINTSUGI_UNSUPPORTED_VERSION',
    `${path} has ${what}, which this version of kintsugi-db does not know; open the store with ` +
      'the version that wrote it, or a newer one',
    { path }
  )
}

/** Two valid slots that describe different stores are never resolved by guessing (rule S1). */
function checkAgreement(directory: string, a: Identity, b: Identity): void {
  const same =
    a.storeId === b.storeId &&
    a.backend === b.backend &&
    a.generation !== b.generation &&
    JSON.stringify(a.format) === JSON.stringify(b.format)
  if (same) return
  throw new KintsugiError(
    'KINTSUGI_CORRUPTION',
    `${slotNames.join(' and ')} in ${directory} describe different stores (${a.storeId}, ` +
      `${b.storeId}); put the pair that belongs together back, nothing was changed`,
    { path: directory }
  )
}

/** Leaves the checksum of a slot's bytes in `checksum`; the checksum field counts as zero. */
function hashSlot(bytes: Buffer, textBytes: number, slot: 0 | 1, checksum: Checksum): void {
  const covered = Buffer.from(bytes.subarray(0, headerBytes + textBytes))
  covered.fill(0, 16, 24)
  checksum.hash(covered, 0x53544f52, slot)
}

function encodeSlot(identity: Identity, slot: 0 | 1, checksum: Checksum): Buffer {
  const text = Buffer.from(JSON.stringify(identity))
  if (text.length > slotBytes - headerBytes) {
    throw new KintsugiError('KINTSUGI_INTERNAL', 'the store identity does not fit its slot')
  }
  const bytes = Buffer.alloc(slotBytes)
  magic.copy(bytes, 0)
  bytes.writeUInt32LE(formatVersion, 8)
  bytes.writeUInt32LE(text.length, 12)
  text.copy(bytes, headerBytes)
  hashSlot(bytes, text.length, slot, checksum)
  bytes.writeUInt32LE(checksum.low, 16)
  bytes.writeUInt32LE(checksum.high, 20)
  return bytes
}

type IdentityChange = Partial<Identity> | ((current: Identity) => Partial<Identity>)

/** Keeps the current identity and writes changes of it, alternating between the slots. */
export class IdentityFile {
  #identity: Identity
  #slot: 0 | 1
  #writing: Promise<void> = Promise.resolve()
  #pendingWrites = 0
  /** Set after a failed write: a slot whose sync failed is never believed again (rule F1). */
  #failure: unknown

  constructor(
    private readonly vfs: Vfs,
    private readonly directory: string,
    private readonly checksum: Checksum,
    loaded: { identity: Identity; slot: 0 | 1 }
  ) {
    this.#identity = loaded.identity
    this.#slot = loaded.slot
  }

  get current(): Identity {
    return this.#identity
  }

  /** Publishes the first slots of a new store: afterwards, and not before, it exists (rule S3). */
  static async create(
    vfs: Vfs,
    directory: string,
    checksum: Checksum,
    identity: Identity
  ): Promise<IdentityFile> {
    // Both slots, the older one first, so that the store is never without two once it is in use.
    await publishSlot(vfs, directory, 1, encodeSlot(identity, 1, checksum))
    const newer = { ...identity, generation: identity.generation + 1 }
    await publishSlot(vfs, directory, 0, encodeSlot(newer, 0, checksum))
    return new IdentityFile(vfs, directory, checksum, { identity: newer, slot: 0 })
  }

  /**
   * Writes the slot that counts once more, so that it is durable and not only in a page cache left
   * by a failed sync; only then may the other slot be written over (rules F4, S1).
   */
  confirm(): Promise<void> {
    return this.#overwrite(this.#slot, encodeSlot(this.#identity, this.#slot, this.checksum))
  }

  /**
   * Makes a change of the identity durable. Calls are carried out one after the other; a change
   * that keeps part of a field is a function, which gets what the calls before have made of it.
   */
  update(change: IdentityChange): Promise<void> {
    this.#pendingWrites++
    const next = this.#writing.then(() => this.#write(change)).finally(() => this.#pendingWrites--)
    this.#writing = next.catch(() => undefined) // the caller has the error
    return next
  }

  /** The same at once; refused while another write is under way, since it could not wait for it. */
  updateSync(change: Partial<Identity>): void {
    this.#throwFailure()
    if (this.#pendingWrites > 0) {
      throw new KintsugiError(
        'KINTSUGI_IO',
        'the identity of the store is being written at this moment; try the write again',
        { path: this.directory }
      )
    }
    const { identity, slot } = this.#next(change)
    const file = this.vfs.openSync(`${this.directory}/${slotNames[slot]}`, 'readwrite')
    try {
      file.writeSync(encodeSlot(identity, slot, this.checksum), 0)
      file.datasyncSync()
    } catch (error) {
      this.#failure = error
      throw error
    } finally {
      file.closeSync()
    }
    this.#identity = identity
    this.#slot = slot
  }

  async #write(change: IdentityChange): Promise<void> {
    this.#throwFailure()
    const fields = typeof change === 'function' ? change(this.#identity) : change
    const { identity, slot } = this.#next(fields)
    try {
      await this.#overwrite(slot, encodeSlot(identity, slot, this.checksum))
    } catch (error) {
      this.#failure = error
      throw error
    }
    this.#identity = identity
    this.#slot = slot
  }

  #next(change: Partial<Identity>): { identity: Identity; slot: 0 | 1 } {
    const generation = this.#identity.generation + 1
    return {
      identity: { ...this.#identity, ...change, generation },
      slot: this.#slot === 0 ? 1 : 0
    }
  }

  #throwFailure(): void {
    if (this.#failure !== undefined) throw this.#failure
  }

  async #overwrite(slot: 0 | 1, bytes: Buffer): Promise<void> {
    const path = `${this.directory}/${slotNames[slot]}`
    if (this.vfs.statSync(path)?.sizeBytes !== slotBytes) {
      await publishSlot(this.vfs, this.directory, slot, bytes)
      return
    }
    const file = await this.vfs.open(path, 'readwrite')
    try {
      await file.writeAndDatasync(bytes, 0)
    } finally {
      await file.close()
    }
  }
}

/** Writes a slot file under a temporary name, then renames it into place, each step durable. */
async function publishSlot(vfs: Vfs, directory: string, slot: 0 | 1, bytes: Buffer) {
  const path = `${directory}/${slotNames[slot]}`
  const temporary = `${path}.tmp`
  if (vfs.statSync(temporary) !== undefined) await vfs.unlink(temporary)
  const file = await vfs.open(temporary, 'create')
  try {
    await file.writeAndDatasync(bytes, 0)
  } finally {
    await file.close()
  }
  await vfs.rename(temporary, path)
  await vfs.syncDirectory(directory)
}
