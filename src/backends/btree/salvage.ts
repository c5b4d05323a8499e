import type {
  BackendContext,
  DamagedRange,
  Progress,
  SalvageReport
} from '../../backend/backend.js'
import { rangeFinding } from '../../backend/range-finding.js'
import { compareBytes } from '../../base/bytes.js'
import { putBytes, writePut } from '../../batch/batch.js'
import { KintsugiError } from '../../errors.js'
import { entryHeaderBytes } from '../../page/format.js'
import {
  entryAt,
  entryCount,
  firstKeyIndex,
  hasLongKey,
  hasLongValue,
  inlineKeyBytes,
  inlineValueBytes,
  keyReferenceAt,
  valueOffset
} from '../../page/read.js'
import { BtreeBackend } from './btree-backend.js'
import { dataFileName, pageHeaderBytes } from './format.js'
import { joined, type KeySpan } from './key-gaps.js'
import { NodeContent } from './node-content.js'
import { readExtentRef } from './node.js'
import { Slab } from './page-memory.js'
import { planSalvage, type SalvagePiece, type SalvagePlan } from './salvage-plan.js'
import { SalvageSource } from './salvage-source.js'

/** Dirty bytes at which what was rebuilt so far is written. */
const persistDirtyBytes = 64 << 20
const everything: KeySpan = { low: undefined, high: undefined }

/**
 * Rebuilds a tree from whatever of a data file proves itself. The result stands at the sequence
 * number of the state that was followed, so that replaying the log brings it up to date; where
 * leaves were taken that no state leads to, the report says that older values may be among them.
 */
export async function salvageTree(
  directory: string,
  context: BackendContext,
  progress: Progress
): Promise<SalvageReport> {
  const path = `${directory}/${dataFileName}`
  const { vfs, storeId, checksum, options } = context
  const content = new NodeContent()
  let source: SalvageSource
  try {
    source = await SalvageSource.open(vfs, path, storeId, checksum, content)
  } catch (error) {
    if (!(error instanceof KintsugiError) || error.code !== 'KINTSUGI_FILE_MISSING') throw error
    await (await BtreeBackend.create(context)).close()
    return emptyReport(path)
  }
  try {
    const { pageBytes } = source.file
    content.setPageBytes(pageBytes)
    const plan = await planSalvage(source, content, progress)
    const backend = await BtreeBackend.create({ ...context, options: { ...options, pageBytes } })
    try {
      return await new Rebuilding(source, backend, plan, progress).run()
    } finally {
      await backend.close()
    }
  } finally {
    await source.close()
  }
}

/** Puts the entries of the planned leaves into an empty tree. */
class Rebuilding {
  readonly #source: SalvageSource
  readonly #backend: BtreeBackend
  readonly #plan: SalvagePlan
  readonly #progress: Progress
  readonly #slab: Slab
  readonly #lost: DamagedRange[] = []
  #batch = Buffer.allocUnsafeSlow(1 << 20)
  #batchBytes = 0

  constructor(source: SalvageSource, backend: BtreeBackend, plan: SalvagePlan, progress: Progress) {
    this.#source = source
    this.#backend = backend
    this.#plan = plan
    this.#progress = progress
    this.#slab = new Slab(source.file.pageBytes)
  }

  async run(): Promise<SalvageReport> {
    const { pieces, lost, seq, pagesRead, pagesKept } = this.#plan
    // What the tree leads to is right and comes last, so that it overwrites what may be older.
    const ordered = [
      ...pieces.filter(({ stale }) => stale),
      ...pieces.filter(({ stale }) => !stale)
    ]
    for (const [index, piece] of ordered.entries()) {
      this.#progress.signal?.throwIfAborted()
      await this.#takePiece(piece)
      this.#progress.report(index + 1, ordered.length, 'leaves')
    }
    // Even without entries: the result stands at the state that was followed.
    await this.#apply()
    await this.#backend.persist(logSynced)
    for (const { low, high } of lost) {
      this.#lost.push({
        lowKey: low,
        highKey: high,
        reason: 'no page that is left covers this range'
      })
    }
    const possiblyStale = joined(pieces.filter(({ stale }) => stale)).map(({ low, high }) => ({
      lowKey: low,
      highKey: high,
      reason: 'older values or deleted keys may have come back'
    }))
    const { path } = this.#source.file
    return {
      entries: this.#backend.tree.entries,
      pagesRead,
      pagesKept,
      seq,
      lost: this.#lost,
      possiblyStale,
      findings: [
        ...this.#lost.map((range) => rangeFinding('entries-lost', 'error', range, path)),
        ...possiblyStale.map((range) => rangeFinding('entries-stale', 'warning', range, path))
      ]
    }
  }

  async #takePiece(piece: SalvagePiece): Promise<void> {
    const slab = this.#slab
    if ((await this.#source.read(piece.pageNo, slab, 0))?.level !== 0) {
      const reason = `page ${piece.pageNo} could be read at first, and now cannot`
      this.#lost.push({ lowKey: piece.low, highKey: piece.high, reason })
      return
    }
    const count = entryCount(slab, pageHeaderBytes)
    for (let i = firstKeyIndex(slab, pageHeaderBytes); i < count; i++) {
      await this.#takeEntry(piece, entryAt(slab, pageHeaderBytes, i))
    }
  }

  async #takeEntry(piece: SalvagePiece, entry: number): Promise<void> {
    const page = this.#slab
    const word = page.u32[entry >>> 2]
    const keyStart = entry + entryHeaderBytes
    let key = page.u8.subarray(keyStart, keyStart + inlineKeyBytes(word))
    if (hasLongKey(word)) {
      const whole = await this.#source.readExtent(readExtentRef(page, keyReferenceAt(entry, word)))
      if (whole === undefined) {
        const reason = 'a key that begins like this is lost'
        this.#lost.push({ lowKey: Buffer.from(key), highKey: piece.high, reason })
        return
      }
      key = whole
    }
    if (piece.stale && !contains(piece, key)) return
    const valueStart = entry + valueOffset(word)
    let value: Buffer | undefined = page.u8.subarray(
      valueStart,
      valueStart + inlineValueBytes(word)
    )
    if (hasLongValue(word)) value = await this.#source.readExtent(readExtentRef(page, valueStart))
    if (value !== undefined) {
      await this.#put(key, value)
      return
    }
    const lowKey = Buffer.from(key)
    const highKey = Buffer.concat([lowKey, Buffer.alloc(1)])
    this.#lost.push({ lowKey, highKey, reason: 'the value of this key is damaged' })
  }

  async #put(key: Buffer, value: Buffer): Promise<void> {
    const bytes = putBytes(key, value)
    if (this.#batchBytes + bytes > this.#batch.length) {
      if (this.#batchBytes > 0) await this.#apply()
      if (bytes > this.#batch.length) this.#batch = Buffer.allocUnsafeSlow(bytes)
    }
    this.#batchBytes = writePut(this.#batch, this.#batchBytes, key, value)
  }

  async #apply(): Promise<void> {
    const backend = this.#backend
    await backend.prepare(this.#batch, 0, this.#batchBytes)
    backend.apply(this.#batch, 0, this.#batchBytes, this.#plan.seq)
    this.#batchBytes = 0
    if (backend.dirtyBytes > persistDirtyBytes) await backend.persist(logSynced)
    else await new Promise<void>((resolve) => setImmediate(resolve))
  }
}

/** What is rebuilt here is in no log. */
function logSynced(): Promise<void> {
  return Promise.resolve()
}

function contains({ low, high }: KeySpan, key: Uint8Array): boolean {
  const isBehindLow = low === undefined || compareBytes(key, low) >= 0
  return isBehindLow && (high === undefined || compareBytes(key, high) < 0)
}

function emptyReport(path: string): SalvageReport {
  const reason = 'the data file is missing'
  const lost = [{ lowKey: everything.low, highKey: everything.high, reason }]
  const findings = lost.map((range) => rangeFinding('entries-lost', 'error', range, path))
  const counts = { entries: 0, pagesRead: 0, pagesKept: 0, seq: 0 }
  return { ...counts, lost, possiblyStale: [], findings }
}
