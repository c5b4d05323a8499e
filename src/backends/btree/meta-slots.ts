import type { Finding } from '../../backend/backend.js'
import type { Checksum } from '../../codec/checksum.js'
import type { DataFile } from './data-file.js'
import { metaBytes } from './format.js'
import { compareMetas, decodeMeta, encodeMeta, type MetaPage } from './meta.js'

/** A slot after a failed write may hold the old state, the new one, or neither. */
interface Slot {
  oldestPersistNo: number
  oldestSeq: number
  pageCount: number
}

/**
 * The two meta pages and what they may hold. A state is published into the slot that does not hold
 * the newest durable one; after a failed write it is that same slot again (rule F5).
 */
export class MetaSlots {
  readonly #file: DataFile
  readonly #storeId: Uint8Array
  readonly #checksum: Checksum
  readonly #slots: [Slot, Slot]
  #newest: MetaPage

  /** `metas`: what stands durably in the slots; a slot that holds nothing is left out. */
  constructor(
    file: DataFile,
    storeId: Uint8Array,
    checksum: Checksum,
    newest: MetaPage,
    other: MetaPage | undefined
  ) {
    this.#file = file
    this.#storeId = storeId
    this.#checksum = checksum
    this.#newest = newest
    this.#slots = [slotOf(newest), slotOf(newest)]
    if (other !== undefined) this.#slots[other.slot] = slotOf(other)
  }

  get newest(): MetaPage {
    return this.#newest
  }

  get durableSeq(): number {
    return this.#newest.appliedSeq
  }

  /** The log up to here is needed by neither state (rule B1). */
  get retirableSeq(): number {
    return Math.min(this.#slots[0].oldestSeq, this.#slots[1].oldestSeq)
  }

  /** Persist number of the oldest state that an opening could find. */
  get oldestPersistNo(): number {
    return Math.min(this.#slots[0].oldestPersistNo, this.#slots[1].oldestPersistNo)
  }

  /** Pages the file must keep for either state. */
  get pageCount(): number {
    return Math.max(this.#slots[0].pageCount, this.#slots[1].pageCount)
  }

  /** True when the newest state is this one. */
  holds(state: Pick<MetaPage, 'rootPage' | 'appliedSeq'>): boolean {
    return state.rootPage === this.#newest.rootPage && state.appliedSeq === this.durableSeq
  }

  /** Writes the state into the slot in turn and syncs it. */
  async publish(state: Omit<MetaPage, 'slot' | 'pageBytes'>): Promise<void> {
    const slot = this.#newest.slot === 0 ? 1 : 0
    const meta: MetaPage = { ...state, slot, pageBytes: this.#file.pageBytes }
    const bytes = encodeMeta(meta, this.#storeId, this.#checksum)
    const doubt = this.#slots[slot]
    doubt.pageCount = Math.max(doubt.pageCount, meta.pageCount)
    await this.#file.write(bytes, slot)
    await this.#file.datasync()
    this.#slots[slot] = slotOf(meta)
    this.#newest = meta
  }

  /**
   * Writes the newest state once more where it stands and syncs it: what was read at open may be in
   * the page cache only (rule F4). The same bytes cannot be torn.
   */
  async rewriteNewest(): Promise<void> {
    const bytes = encodeMeta(this.#newest, this.#storeId, this.#checksum)
    await this.#file.write(bytes, this.#newest.slot)
    await this.#file.datasync()
  }
}

function slotOf(meta: MetaPage): Slot {
  return {
    oldestPersistNo: meta.persistNo,
    oldestSeq: meta.appliedSeq,
    pageCount: meta.pageCount
  }
}

/** The newer of two metas first; an absent one last. */
export function newestFirst(metas: readonly MetaPage[]): MetaPage[] {
  return [...metas].sort((a, b) => compareMetas(b, a))
}

/** Reads both meta pages past all caches and compares the newest with what it should be. */
export function verifyMetas(
  file: DataFile,
  storeId: Uint8Array,
  checksum: Checksum,
  newest: MetaPage
): Finding[] {
  const findings: Finding[] = []
  for (const slot of [0, 1] as const) {
    const offset = slot * file.pageBytes
    const bytes = Buffer.alloc(metaBytes)
    const count = file.readSync(bytes, slot)
    const decoded = decodeMeta(bytes.subarray(0, count), slot, storeId, checksum)
    let reason: string | undefined
    if (decoded.kind !== 'valid') reason = decoded.reason
    else if (slot === newest.slot && compareMetas(decoded.meta, newest) !== 0) {
      reason = `it holds persist ${decoded.meta.persistNo} instead of ${newest.persistNo}`
    }
    if (reason === undefined) continue
    const message = `meta page ${slot} is damaged: ${reason}; the next two persists rewrite it`
    const { path } = file
    findings.push({ severity: 'error', kind: 'meta-damaged', message, path, page: slot, offset })
  }
  return findings
}
