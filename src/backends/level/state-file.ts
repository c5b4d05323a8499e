import type { Finding } from '../../backend/backend.js'
import type { Checksum } from '../../codec/checksum.js'
import { isCorruption, KintsugiError } from '../../errors.js'
import type { Vfs, VfsFile } from '../../vfs/vfs.js'
import { stateName, stateSlotBytes } from './format.js'
import { decodeState, encodeState, type LevelState, type StateSlot } from './state.js'

/** What stands in the slots: the newest state and how old the other one is. */
interface LoadedState {
  readonly state: LevelState
  readonly slot: StateSlot
  /** Of the other slot; undefined where it is damaged. */
  readonly otherSeq: number | undefined
  readonly findings: readonly Finding[]
}

/**
 * The state of a level store, in two slots that are written in turn: a write that fails or is torn
 * leaves the newest durable one as it is.
 */
export class StateFile {
  readonly #file: VfsFile
  readonly #storeId: Uint8Array
  readonly #checksum: Checksum
  #state: LevelState
  #slot: StateSlot
  #otherSeq: number
  /** What is wrong with the slot that does not count, until it is written. */
  #findings: readonly Finding[]

  private constructor(file: VfsFile, storeId: Uint8Array, checksum: Checksum, loaded: LoadedState) {
    this.#file = file
    this.#storeId = storeId
    this.#checksum = checksum
    this.#state = loaded.state
    this.#slot = loaded.slot
    this.#otherSeq = loaded.otherSeq ?? 0
    this.#findings = loaded.findings
  }

  /** Makes the file with both slots; the directory's entry is the caller's to sync. */
  static async create(
    vfs: Vfs,
    directory: string,
    storeId: Uint8Array,
    checksum: Checksum,
    first: Omit<LevelState, 'generation'>
  ): Promise<StateFile> {
    const file = await vfs.open(`${directory}/${stateName}`, 'create')
    try {
      const slots = ([0, 1] as const).map((slot) => {
        const state = { ...first, generation: slot + 1 }
        return { state, bytes: encodeState(state, slot, storeId, checksum) }
      })
      await file.write(Buffer.concat(slots.map(({ bytes }) => bytes)), 0)
      await file.datasync()
      const { state } = slots[1]
      const loaded = { state, slot: 1, otherSeq: state.durableSeq, findings: [] } as const
      return new StateFile(file, storeId, checksum, loaded)
    } catch (error) {
      await file.close()
      throw error
    }
  }

  /** Throws CORRUPTION where neither slot is valid. */
  static async open(
    vfs: Vfs,
    directory: string,
    storeId: Uint8Array,
    checksum: Checksum,
    readOnly: boolean
  ): Promise<StateFile> {
    const path = `${directory}/${stateName}`
    if (vfs.statSync(path) === undefined) {
      throw unusable(path, 'it is missing')
    }
    const file = await vfs.open(path, readOnly ? 'read' : 'readwrite')
    try {
      const loaded = await load(file, storeId, checksum)
      return new StateFile(file, storeId, checksum, loaded)
    } catch (error) {
      await file.close()
      throw error
    }
  }

  get state(): LevelState {
    return this.#state
  }

  /** What either slot says is durable (rule B1). */
  get retirableSeq(): number {
    return Math.min(this.#state.durableSeq, this.#otherSeq)
  }

  get findings(): readonly Finding[] {
    return this.#findings
  }

  /** Writes the slot that does not count and syncs it: then it does. */
  async publish(change: Partial<LevelState>): Promise<void> {
    const slot: StateSlot = this.#slot === 0 ? 1 : 0
    const state = { ...this.#state, ...change, generation: this.#state.generation + 1 }
    const bytes = encodeState(state, slot, this.#storeId, this.#checksum)
    await this.#file.writeAndDatasync(bytes, slot * stateSlotBytes)
    this.#otherSeq = this.#state.durableSeq
    this.#state = state
    this.#slot = slot
    this.#findings = []
  }

  /** Reads both slots from the disk again. */
  async check(): Promise<readonly Finding[]> {
    try {
      const { state, findings } = await load(this.#file, this.#storeId, this.#checksum)
      if (state.generation >= this.#state.generation) return findings
      return [
        ...findings,
        slotFinding(this.#file.path, this.#slot, 'it is older than it should be')
      ]
    } catch (error) {
      if (!isCorruption(error)) throw error
      return [{ severity: 'error', kind: 'state', message: error.message, path: this.#file.path }]
    }
  }

  async close(): Promise<void> {
    await this.#file.close()
  }
}

async function load(file: VfsFile, storeId: Uint8Array, checksum: Checksum): Promise<LoadedState> {
  const bytes = Buffer.alloc(2 * stateSlotBytes)
  await file.read(bytes, 0)
  const slots = ([0, 1] as const).map((slot) => {
    const own = bytes.subarray(slot * stateSlotBytes, (slot + 1) * stateSlotBytes)
    return { slot, decoded: decodeState(own, slot, storeId, checksum, file.path) }
  })
  const [newest, other] = slots.toSorted(
    (a, b) => (b.decoded.state?.generation ?? 0) - (a.decoded.state?.generation ?? 0)
  )
  if (newest.decoded.state === undefined) {
    throw unusable(file.path, slots.map(({ decoded }) => decoded.reason).join('; '))
  }
  const { state, reason } = other.decoded
  return {
    state: newest.decoded.state,
    slot: newest.slot,
    otherSeq: state?.durableSeq,
    findings: reason === undefined ? [] : [slotFinding(file.path, other.slot, reason)]
  }
}

function slotFinding(path: string, slot: StateSlot, reason: string): Finding {
  return {
    severity: 'warning',
    kind: 'state-slot',
    message: `slot ${slot} is damaged: ${reason}; the next persist writes it anew`,
    path,
    offset: slot * stateSlotBytes
  }
}

function unusable(path: string, reason: string): KintsugiError {
  return new KintsugiError(
    'KINTSUGI_CORRUPTION',
    `${path} does not say what is in LevelDB (${reason}); run \`kintsugi repair\``,
    { path }
  )
}
