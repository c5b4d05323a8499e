import { assert } from '../../base/assert.js'
import type { Checksum } from '../../codec/checksum.js'
import { KintsugiError } from '../../errors.js'
import type { SyncedFile } from './files/synced-file.js'
import { StateHeader, stateMagic, stateSlotBytes, stateVersion } from './format.js'

export type StateSlot = 0 | 1

/** What a store says about its LevelDB. */
export interface LevelState {
  /** Rises with every write of a slot. */
  readonly generation: number
  /** LevelDB has every commit up to here, and survives power loss with them. */
  readonly durableSeq: number
  /** Logs and manifest of LevelDB as they were then. */
  readonly files: readonly SyncedFile[]
  /** Why the contents may be older here and there than they should be; undefined: they are not. */
  readonly unverified?: string | undefined
}

export type DecodedState =
  | { readonly state: LevelState; readonly reason?: undefined }
  | { readonly state?: undefined; readonly reason: string }

/** A slot's bytes; see format.md. */
export function encodeState(
  state: LevelState,
  slot: StateSlot,
  storeId: Uint8Array,
  checksum: Checksum
): Buffer {
  const text = Buffer.from(JSON.stringify(state))
  assert(text.length <= stateSlotBytes - StateHeader.text, 'a state fits into its slot')
  const bytes = Buffer.alloc(stateSlotBytes)
  stateMagic.copy(bytes, StateHeader.magic)
  bytes.writeUInt32LE(stateVersion, StateHeader.version)
  bytes.writeUInt32LE(text.length, StateHeader.textBytes)
  text.copy(bytes, StateHeader.text)
  sum(bytes, slot, storeId, checksum)
  const { low, high } = checksum
  bytes.writeUInt32LE(low, StateHeader.sumLow)
  bytes.writeUInt32LE(high, StateHeader.sumHigh)
  return bytes
}

/** Reads a slot, whatever its bytes are; throws where a newer version wrote it. */
export function decodeState(
  slotBytes: Buffer,
  slot: StateSlot,
  storeId: Uint8Array,
  checksum: Checksum,
  path: string
): DecodedState {
  const bytes = Buffer.from(slotBytes)
  if (!bytes.subarray(0, stateMagic.length).equals(stateMagic)) {
    return { reason: `slot ${slot} does not begin as one` }
  }
  const low = bytes.readUInt32LE(StateHeader.sumLow)
  const high = bytes.readUInt32LE(StateHeader.sumHigh)
  sum(bytes, slot, storeId, checksum)
  if (low !== checksum.low || high !== checksum.high) {
    return { reason: `the checksum of slot ${slot} does not match` }
  }
  const version = bytes.readUInt32LE(StateHeader.version)
  if (version !== stateVersion) {
    throw new KintsugiError(
      'KINTSUGI_UNSUPPORTED_VERSION',
      `${path} has format version ${version}, which this version of kintsugi-db does not know`,
      { path }
    )
  }
  const textBytes = bytes.readUInt32LE(StateHeader.textBytes)
  const state = parse(bytes.toString('utf8', StateHeader.text, StateHeader.text + textBytes))
  return state === undefined ? { reason: `slot ${slot} makes no sense` } : { state }
}

function parse(text: string): LevelState | undefined {
  let parsed: Partial<Record<keyof LevelState, unknown>> | null
  try {
    parsed = JSON.parse(text)
  } catch {
    return undefined // not JSON: the caller reports the slot as damaged
  }
  if (typeof parsed !== 'object' || parsed === null) return undefined
  const { generation, durableSeq, files, unverified } = parsed
  const isSound =
    isCount(generation) &&
    isCount(durableSeq) &&
    Array.isArray(files) &&
    files.every(isSyncedFile) &&
    (unverified === undefined || typeof unverified === 'string')
  return isSound ? (parsed as unknown as LevelState) : undefined
}

function isSyncedFile(value: unknown): value is SyncedFile {
  const { name, sizeBytes } = Object(value) as Record<string, unknown>
  return typeof name === 'string' && isCount(sizeBytes)
}

function isCount(value: unknown): value is number {
  return Number.isSafeInteger(value) && (value as number) >= 0
}

/** Over the whole slot, the place of the sum itself being zero; seeded by store and slot. */
function sum(bytes: Buffer, slot: StateSlot, storeId: Uint8Array, checksum: Checksum): void {
  bytes.fill(0, StateHeader.sumLow, StateHeader.text)
  checksum.hash(storeId, slot, 0)
  checksum.hash(bytes, checksum.low, checksum.high)
}
