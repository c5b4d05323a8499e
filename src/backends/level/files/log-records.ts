import { turn } from '../../../base/turn.js'
import type { VfsFile } from '../../../vfs/vfs.js'
import { matchesCrc } from './crc.js'
import { logBlockBytes, logHeaderBytes, RecordType } from './format.js'
import { readFully } from './read-fully.js'

/** A whole record of a log or manifest. The bytes are the caller's own. */
export interface LogRecord {
  readonly kind: 'record'
  /** Where its first header begins. */
  readonly offset: number
  readonly endOffset: number
  readonly bytes: Buffer
}

/** A part of a log that holds no whole record. */
export interface LogDamage {
  readonly kind: 'damage'
  readonly offset: number
  /** Where a record begins again, or the file ends. */
  readonly endOffset: number
  readonly reason: string
  /** The file simply ends within a record, as after a power cut. */
  readonly isTorn: boolean
}

const blocksPerRead = 32

/**
 * Reads the records of LevelDB's log format one by one; where bytes are damaged, it says which and
 * goes on behind them, at the next block as LevelDB does: a length that is not proven leads nowhere.
 */
export async function* readLogRecords(
  file: VfsFile,
  sizeBytes: number
): AsyncGenerator<LogRecord | LogDamage, void, void> {
  const window = Buffer.allocUnsafeSlow(
    Math.max(1, Math.min(blocksPerRead * logBlockBytes, sizeBytes))
  )
  const assembler = new Assembler()
  let at = 0
  while (at < sizeBytes) {
    const wanted = Math.min(window.length, sizeBytes - at)
    const count = await readFully(file, window.subarray(0, wanted), at)
    for (let block = 0; block < count; block += logBlockBytes) {
      const end = Math.min(block + logBlockBytes, count)
      assembler.take(window.subarray(block, end), at + block)
      yield* assembler.collect()
    }
    at += count
    if (count < wanted) break
    await turn()
  }
  assembler.finish(at)
  yield* assembler.collect()
}

/** Puts records together from the fragments of blocks. */
class Assembler {
  #items: (LogRecord | LogDamage)[] = []
  readonly #fragments: Buffer[] = []
  /** Offset of the record that the fragments begin; -1: none is open. */
  #start = -1
  /** Damage that may yet grow by fragments which belong to nothing. */
  #damage: LogDamage | undefined

  collect(): (LogRecord | LogDamage)[] {
    const items = this.#items
    this.#items = []
    return items
  }

  take(block: Buffer, base: number): void {
    let at = 0
    while (block.length - at >= logHeaderBytes) {
      const length = block.readUInt16LE(at + 4)
      const type = block[at + 6]
      const end = at + logHeaderBytes + length
      const blockEnd = base + block.length
      if (end > block.length) {
        const isTorn = block.length < logBlockBytes
        this.#spoil(base + at, blockEnd, isTorn ? cutShort : 'a length is damaged', isTorn)
        return
      }
      if (type === RecordType.zero && length === 0 && block.readUInt32LE(at) === 0) {
        this.#spoil(base + at, blockEnd, 'there are zeros instead of a record', true)
        return
      }
      if (!matchesCrc(block, at + 6, end, block.readUInt32LE(at))) {
        this.#spoil(base + at, blockEnd, 'the checksum of a record does not match', false)
        return
      }
      this.#place(type, block.subarray(at + logHeaderBytes, end), base + at, base + end)
      at = end
    }
    // A header does not fit here: LevelDB fills up the block and goes on in the next.
    if (block.length < logBlockBytes && at < block.length) {
      this.#spoil(base + at, base + block.length, cutShort, true)
    }
  }

  finish(sizeBytes: number): void {
    if (this.#start >= 0) this.#spoil(this.#start, sizeBytes, cutShort, true)
    this.#settle()
  }

  #place(type: number, fragment: Buffer, offset: number, endOffset: number): void {
    const isBeginning = type === RecordType.full || type === RecordType.first
    if (isBeginning) {
      if (this.#start >= 0) this.#spoil(this.#start, offset, 'a record does not end', false)
      this.#settle()
      this.#start = offset
      this.#fragments.length = 0
    } else if (this.#start < 0) {
      this.#spoil(offset, endOffset, 'a record lacks its beginning', false)
      return
    }
    if (type > RecordType.last || type === RecordType.zero) {
      this.#spoil(offset, endOffset, `a record has the unknown type ${type}`, false)
      return
    }
    this.#fragments.push(Buffer.from(fragment))
    if (type !== RecordType.full && type !== RecordType.last) return
    const bytes = this.#fragments.length === 1 ? this.#fragments[0] : Buffer.concat(this.#fragments)
    this.#items.push({ kind: 'record', offset: this.#start, endOffset, bytes })
    this.#start = -1
    this.#fragments.length = 0
  }

  /** What was begun is lost with it. */
  #spoil(offset: number, endOffset: number, reason: string, isTorn: boolean): void {
    const from = this.#start >= 0 ? this.#start : offset
    this.#start = -1
    this.#fragments.length = 0
    const before = this.#damage
    this.#damage = {
      kind: 'damage',
      offset: before?.offset ?? from,
      endOffset,
      reason: before?.reason ?? reason,
      isTorn: (before?.isTorn ?? true) && isTorn
    }
  }

  #settle(): void {
    if (this.#damage !== undefined) this.#items.push(this.#damage)
    this.#damage = undefined
  }
}

const cutShort = 'the file ends within a record'
