import { readLong, writeLong } from '../../../base/words.js'
import type { Checksum } from '../../../codec/checksum.js'
import { KintsugiError } from '../../../errors.js'
import type { Vfs } from '../../../vfs/vfs.js'
import type { CleanMark } from '../../../wal/witness.js'
import {
  currentBytes,
  CurrentField as Field,
  currentMagic,
  currentName,
  currentTemporaryName,
  currentVersion
} from './format.js'

/** Seed of the checksum: `CURR`. */
const seedLow = 0x43555252

/** What CURRENT states about the manifest: its witness, as the identity slots are the log's. */
export interface Current {
  /** Highest epoch that wrote to the manifest. */
  readonly epoch: number
  /** The first segment that has to be there. */
  readonly floorSegment: number
  /** The edit that says the whole version: reading starts here. */
  readonly snapshotEdit: number
  /** The segment that the last opening or poison switch made: the manifest must reach it. */
  readonly activeSegment: number
  /** Edits up to here are synced. */
  readonly syncedEdit: number
  readonly cleanMark: CleanMark | undefined
}

export function encodeCurrent(current: Current, storeId: Uint8Array, checksum: Checksum): Buffer {
  const bytes = Buffer.alloc(currentBytes)
  currentMagic.copy(bytes, Field.magic)
  bytes.writeUInt32LE(currentVersion, Field.version)
  bytes.set(storeId, Field.storeId)
  writeLong(bytes, Field.epoch, current.epoch)
  writeLong(bytes, Field.floorSegment, current.floorSegment)
  writeLong(bytes, Field.snapshotEdit, current.snapshotEdit)
  writeLong(bytes, Field.activeSegment, current.activeSegment)
  writeLong(bytes, Field.syncedEdit, current.syncedEdit)
  const { cleanMark } = current
  if (cleanMark) {
    bytes.writeUInt32LE(1, Field.isClean)
    bytes.writeUInt32LE(cleanMark.offset, Field.cleanOffset)
    writeLong(bytes, Field.cleanSegment, cleanMark.segment)
    writeLong(bytes, Field.cleanEdit, cleanMark.seq)
    writeLong(bytes, Field.cleanEpoch, cleanMark.epoch)
    bytes.writeUInt32LE(cleanMark.chainLow, Field.cleanChainLow)
    bytes.writeUInt32LE(cleanMark.chainHigh, Field.cleanChainHigh)
  }
  checksum.hash(bytes.subarray(0, Field.checksum), seedLow, 0)
  bytes.writeUInt32LE(checksum.low, Field.checksum)
  bytes.writeUInt32LE(checksum.high, Field.checksum + 4)
  return bytes
}

/** Throws CORRUPTION, or UNSUPPORTED_VERSION where a newer version wrote it. */
export function decodeCurrent(
  bytes: Buffer,
  path: string,
  storeId: Uint8Array,
  checksum: Checksum
): Current {
  const isWhole = bytes.length >= Field.storeId && hasMagic(bytes)
  if (!isWhole) throw damagedCurrent(path, 'it does not begin as one')
  checksum.hash(bytes.subarray(0, Math.min(bytes.length, Field.checksum)), seedLow, 0)
  const isIntact =
    bytes.length === currentBytes &&
    checksum.low === bytes.readUInt32LE(Field.checksum) &&
    checksum.high === bytes.readUInt32LE(Field.checksum + 4)
  if (!isIntact) throw damagedCurrent(path, 'its checksum does not match')
  const version = bytes.readUInt32LE(Field.version)
  if (version !== currentVersion) throw unsupported(path, `version ${version}`)
  const features = bytes.readUInt32LE(Field.features)
  if (features !== 0) throw unsupported(path, `feature bits 0x${features.toString(16)}`)
  if (!bytes.subarray(Field.storeId, Field.epoch).equals(storeId)) {
    throw damagedCurrent(path, 'it belongs to another store')
  }
  const current: Current = {
    epoch: readLong(bytes, Field.epoch),
    floorSegment: readLong(bytes, Field.floorSegment),
    snapshotEdit: readLong(bytes, Field.snapshotEdit),
    activeSegment: readLong(bytes, Field.activeSegment),
    syncedEdit: readLong(bytes, Field.syncedEdit),
    cleanMark: readCleanMark(bytes)
  }
  const isSound =
    current.snapshotEdit >= 1 &&
    current.snapshotEdit <= current.syncedEdit &&
    current.floorSegment >= 1 &&
    [current.epoch, current.syncedEdit, current.activeSegment, current.floorSegment].every(
      Number.isSafeInteger
    )
  if (!isSound) throw damagedCurrent(path, 'what it says contradicts itself')
  return current
}

function hasMagic(bytes: Buffer): boolean {
  return bytes.subarray(0, currentMagic.length).equals(currentMagic)
}

function readCleanMark(bytes: Buffer): CleanMark | undefined {
  if (bytes.readUInt32LE(Field.isClean) === 0) return undefined
  return {
    segment: readLong(bytes, Field.cleanSegment),
    offset: bytes.readUInt32LE(Field.cleanOffset),
    chainLow: bytes.readUInt32LE(Field.cleanChainLow),
    chainHigh: bytes.readUInt32LE(Field.cleanChainHigh),
    seq: readLong(bytes, Field.cleanEdit),
    epoch: readLong(bytes, Field.cleanEpoch)
  }
}

export interface CurrentPlace {
  readonly vfs: Vfs
  /** The backend's directory. */
  readonly directory: string
  readonly storeId: Uint8Array
  readonly checksum: Checksum
}

/** Reads CURRENT; nothing is guessed where it is missing or damaged. */
export function readCurrent({ vfs, directory, storeId, checksum }: CurrentPlace): Current {
  const path = `${directory}/${currentName}`
  if (vfs.statSync(path) === undefined) throw damagedCurrent(path, 'it is missing')
  const file = vfs.openSync(path, 'read')
  try {
    const bytes = Buffer.alloc(currentBytes + 1)
    const sizeBytes = file.readSync(bytes, 0)
    return decodeCurrent(bytes.subarray(0, sizeBytes), path, storeId, checksum)
  } finally {
    file.closeSync()
  }
}

/** Keeps what CURRENT states and replaces the file as a whole, each time durably. */
export class CurrentFile {
  readonly #place: CurrentPlace
  #current: Current
  #publishing: Promise<void> = Promise.resolve()

  constructor(place: CurrentPlace, current: Current) {
    this.#place = place
    this.#current = current
  }

  get current(): Current {
    return this.#current
  }

  /**
   * Makes a change of the statement durable; calls are carried out one after the other. After a
   * failure the file states the old or the new, and the next call replaces either: so a statement
   * must not become false when the step that it belongs to fails.
   */
  publish(change: Partial<Current>): Promise<void> {
    const next = this.#publishing.then(() => this.#publish({ ...this.#current, ...change }))
    this.#publishing = next.catch(() => undefined) // the caller has the error
    return next
  }

  async #publish(current: Current): Promise<void> {
    const { vfs, directory, storeId, checksum } = this.#place
    const temporary = `${directory}/${currentTemporaryName}`
    // What an earlier attempt left may have failed to sync: never written to again (rule F1).
    if (vfs.statSync(temporary) !== undefined) await vfs.unlink(temporary)
    const file = await vfs.open(temporary, 'create')
    try {
      await file.writeAndDatasync(encodeCurrent(current, storeId, checksum), 0)
    } finally {
      await file.close()
    }
    await vfs.rename(temporary, `${directory}/${currentName}`)
    await vfs.syncDirectory(directory)
    this.#current = current
  }
}

function damagedCurrent(path: string, why: string): KintsugiError {
  return new KintsugiError(
    'KINTSUGI_CORRUPTION',
    `${path} is needed to read the manifest, and ${why}; put it back from a backup of the ` +
      'directory, or run `kintsugi repair` or `kintsugi rebuild-manifest`; nothing was changed',
    { path }
  )
}

function unsupported(path: string, what: string): KintsugiError {
  return new KintsugiError(
    'KINTSUGI_UNSUPPORTED_VERSION',
    `${path} has ${what}, which this version of kintsugi-db does not know; open the store with ` +
      'the version that wrote it, or a newer one',
    { path }
  )
}
