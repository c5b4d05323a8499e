import { assert } from '../../../base/assert.js'
import { compareBytes } from '../../../base/bytes.js'
import { readLong, writeLong } from '../../../base/words.js'
import { KintsugiError } from '../../../errors.js'
import type { TableMeta } from '../table-meta.js'
import {
  EditField as Field,
  EditFlags,
  editHeaderBytes,
  editVersion,
  knownEditFlags,
  LeftoverField,
  LeftoverFlags,
  leftoverBytes,
  levelLimit,
  numberBytes,
  TableField,
  TableFlags,
  tableBytes
} from './format.js'

/** A table that was replaced and whose file may still be there. */
export interface Leftover {
  readonly number: number
  /** The level it stood in, and its highest sequence number: how old its data is (rule B3). */
  readonly level: number
  readonly maxSeq: number
  /** Announced to be unlinked: its file is there or not. */
  readonly isRetired: boolean
}

/** A step from one version to the next, as the manifest records it. */
export interface VersionEdit {
  /** Tables that come in. One that is removed by the same edit moves to another level. */
  readonly added: readonly TableMeta[]
  /** Numbers of live tables that go; their files stay. */
  readonly removed: readonly number[]
  /** Numbers of obsolete tables whose files are about to be unlinked (rule B1). */
  readonly retired: readonly number[]
  readonly durableSeq?: number
  readonly nextTable?: number
  /** The edit says the whole version. */
  readonly snapshot?: true
  /** Only in a snapshot. */
  readonly leftovers: readonly Leftover[]
}

/** What a caller gives of an edit; the rest is empty. */
export type EditRequest = Partial<
  Pick<VersionEdit, 'added' | 'removed' | 'retired' | 'durableSeq' | 'nextTable'>
>

export function editOf(request: EditRequest): VersionEdit {
  return { added: [], removed: [], retired: [], ...request, leftovers: [] }
}

export function encodedEditBytes(edit: VersionEdit): number {
  let bytes = editHeaderBytes
  bytes += (edit.removed.length + edit.retired.length) * numberBytes
  bytes += edit.leftovers.length * leftoverBytes
  for (const { job, low, high } of edit.added) {
    bytes += tableBytes + job.inputs.length * numberBytes + low.length + (high?.length ?? 0)
  }
  return bytes
}

/** Writes the edit to `target[start, start + encodedEditBytes(edit))`. */
export function encodeEdit(edit: VersionEdit, target: Buffer, start: number): void {
  const { added, removed, retired, leftovers, durableSeq, nextTable } = edit
  target.fill(0, start, start + editHeaderBytes)
  const flags =
    (edit.snapshot ? EditFlags.snapshot : 0) |
    (durableSeq === undefined ? 0 : EditFlags.hasDurableSeq) |
    (nextTable === undefined ? 0 : EditFlags.hasNextTable)
  target.writeUInt16LE(editVersion, start + Field.version)
  target.writeUInt16LE(flags, start + Field.flags)
  target.writeUInt32LE(added.length, start + Field.added)
  target.writeUInt32LE(removed.length, start + Field.removed)
  target.writeUInt32LE(retired.length, start + Field.retired)
  target.writeUInt32LE(leftovers.length, start + Field.leftovers)
  writeLong(target, start + Field.durableSeq, durableSeq ?? 0)
  writeLong(target, start + Field.nextTable, nextTable ?? 0)
  let at = start + editHeaderBytes
  at = encodeNumbers(removed, target, at)
  at = encodeNumbers(retired, target, at)
  for (const leftover of leftovers) {
    encodeLeftover(leftover, target, at)
    at += leftoverBytes
  }
  for (const table of added) at = encodeTable(table, target, at)
  assert(at === start + encodedEditBytes(edit), 'an edit has the size that was reserved for it')
}

function encodeNumbers(numbers: readonly number[], target: Buffer, start: number): number {
  let at = start
  for (const number of numbers) {
    writeLong(target, at, number)
    at += numberBytes
  }
  return at
}

function encodeLeftover(leftover: Leftover, target: Buffer, at: number): void {
  writeLong(target, at + LeftoverField.number, leftover.number)
  writeLong(target, at + LeftoverField.maxSeq, leftover.maxSeq)
  target.writeUInt16LE(leftover.level, at + LeftoverField.level)
  target.writeUInt16LE(leftover.isRetired ? LeftoverFlags.retired : 0, at + LeftoverField.flags)
  target.writeUInt32LE(0, at + LeftoverField.zero)
}

function encodeTable(table: TableMeta, target: Buffer, start: number): number {
  const { low, high, job } = table
  writeLong(target, start + TableField.number, table.number)
  writeLong(target, start + TableField.sizeBytes, table.sizeBytes)
  target.writeUInt32LE(table.sumLow, start + TableField.sumLow)
  target.writeUInt32LE(table.sumHigh, start + TableField.sumHigh)
  writeLong(target, start + TableField.minSeq, table.minSeq)
  writeLong(target, start + TableField.maxSeq, table.maxSeq)
  writeLong(target, start + TableField.entries, table.entries)
  writeLong(target, start + TableField.deletes, table.deletes)
  writeLong(target, start + TableField.rawBytes, table.rawBytes)
  writeLong(target, start + TableField.firstOutput, job.firstOutput)
  target.writeUInt32LE(table.rangeTombstones, start + TableField.rangeTombstones)
  target.writeUInt32LE(low.length, start + TableField.lowBytes)
  target.writeUInt32LE(high?.length ?? 0, start + TableField.highBytes)
  target.writeUInt32LE(job.inputs.length, start + TableField.inputs)
  target.writeUInt16LE(table.level, start + TableField.level)
  const flags = (job.isLast ? TableFlags.isLast : 0) | (high ? TableFlags.hasHigh : 0)
  target.writeUInt16LE(flags, start + TableField.flags)
  target.writeUInt32LE(0, start + TableField.zero)
  let at = encodeNumbers(job.inputs, target, start + tableBytes)
  target.set(low, at)
  at += low.length
  if (high) target.set(high, at)
  return at + (high?.length ?? 0)
}

/**
 * The edit in `bytes[start, end)`, keys copied. Throws CORRUPTION where the bytes are none, and
 * UNSUPPORTED_VERSION where they are one of a newer version; messages say what, not where.
 */
export function decodeEdit(bytes: Buffer, start: number, end: number): VersionEdit {
  return new EditDecoder(bytes, start, end).edit()
}

class EditDecoder {
  readonly #bytes: Buffer
  readonly #end: number
  #at: number

  constructor(bytes: Buffer, start: number, end: number) {
    this.#bytes = bytes
    this.#at = start
    this.#end = end
  }

  edit(): VersionEdit {
    const bytes = this.#bytes
    const at = this.#at
    if (this.#end - at < Field.flags + 2) throw damaged('it ends within its header')
    const version = bytes.readUInt16LE(at + Field.version)
    if (version > editVersion) throw unsupported(`version ${version}`)
    if (version === 0) throw damaged('its version is 0')
    const flags = bytes.readUInt16LE(at + Field.flags)
    if ((flags & ~knownEditFlags) !== 0) throw unsupported(`flags 0x${flags.toString(16)}`)
    this.#take(editHeaderBytes)
    this.#expectZero(at + Field.zero)
    const durableSeq = this.#optional(flags & EditFlags.hasDurableSeq, at + Field.durableSeq)
    const nextTable = this.#optional(flags & EditFlags.hasNextTable, at + Field.nextTable)
    const removed = this.#numbers(this.#count(at + Field.removed, numberBytes))
    const retired = this.#numbers(this.#count(at + Field.retired, numberBytes))
    const leftovers: Leftover[] = []
    for (let i = this.#count(at + Field.leftovers, leftoverBytes); i > 0; i--) {
      leftovers.push(this.#leftover())
    }
    const added: TableMeta[] = []
    for (let i = this.#count(at + Field.added, tableBytes); i > 0; i--) added.push(this.#table())
    if (this.#at !== this.#end) throw damaged(`${this.#end - this.#at} bytes follow it`)
    return {
      added,
      removed,
      retired,
      leftovers,
      ...(flags & EditFlags.snapshot && { snapshot: true }),
      ...(durableSeq !== undefined && { durableSeq }),
      ...(nextTable !== undefined && { nextTable })
    }
  }

  #leftover(): Leftover {
    const at = this.#take(leftoverBytes)
    const flags = this.#bytes.readUInt16LE(at + LeftoverField.flags)
    if ((flags & ~LeftoverFlags.retired) !== 0) throw unsupported(`leftover flags ${flags}`)
    this.#expectZero(at + LeftoverField.zero)
    return {
      number: this.#number(at + LeftoverField.number),
      maxSeq: this.#long(at + LeftoverField.maxSeq),
      level: this.#level(at + LeftoverField.level),
      isRetired: flags !== 0
    }
  }

  #table(): TableMeta {
    const bytes = this.#bytes
    const at = this.#take(tableBytes)
    const flags = bytes.readUInt16LE(at + TableField.flags)
    if ((flags & ~(TableFlags.isLast | TableFlags.hasHigh)) !== 0) {
      throw unsupported(`table flags 0x${flags.toString(16)}`)
    }
    this.#expectZero(at + TableField.zero)
    const inputs = this.#numbers(this.#count(at + TableField.inputs, numberBytes))
    const low = this.#key(at + TableField.lowBytes)
    const highKey = this.#key(at + TableField.highBytes)
    const hasHigh = (flags & TableFlags.hasHigh) !== 0
    if (!hasHigh && highKey.length > 0) throw damaged('a table without an end has one')
    const table: TableMeta = {
      number: this.#number(at + TableField.number),
      level: this.#level(at + TableField.level),
      sizeBytes: this.#long(at + TableField.sizeBytes),
      sumLow: bytes.readUInt32LE(at + TableField.sumLow),
      sumHigh: bytes.readUInt32LE(at + TableField.sumHigh),
      minSeq: this.#long(at + TableField.minSeq),
      maxSeq: this.#long(at + TableField.maxSeq),
      entries: this.#long(at + TableField.entries),
      deletes: this.#long(at + TableField.deletes),
      rangeTombstones: bytes.readUInt32LE(at + TableField.rangeTombstones),
      rawBytes: this.#long(at + TableField.rawBytes),
      low,
      high: hasHigh ? highKey : undefined,
      job: {
        firstOutput: this.#number(at + TableField.firstOutput),
        isLast: (flags & TableFlags.isLast) !== 0,
        inputs
      }
    }
    checkTable(table)
    return table
  }

  /** Moves on by so many bytes, which are there, and returns where they begin. */
  #take(sizeBytes: number): number {
    const at = this.#at
    if (this.#end - at < sizeBytes) throw damaged('it ends too early')
    this.#at = at + sizeBytes
    return at
  }

  /** A number of items, each of which takes at least `itemBytes` of what is left. */
  #count(at: number, itemBytes: number): number {
    const count = this.#bytes.readUInt32LE(at)
    if (count * itemBytes > this.#end - this.#at) throw damaged('it ends too early')
    return count
  }

  #numbers(count: number): number[] {
    const numbers: number[] = []
    for (let i = 0; i < count; i++) numbers.push(this.#number(this.#take(numberBytes)))
    return numbers
  }

  #key(lengthAt: number): Buffer {
    const sizeBytes = this.#bytes.readUInt32LE(lengthAt)
    const at = this.#take(sizeBytes)
    return Buffer.from(this.#bytes.subarray(at, at + sizeBytes))
  }

  #long(at: number): number {
    const value = readLong(this.#bytes, at)
    if (!Number.isSafeInteger(value)) throw damaged('a number is too large')
    return value
  }

  /** A table's number; also the one behind it must be a number. */
  #number(at: number): number {
    const value = this.#long(at)
    if (value === 0 || value === Number.MAX_SAFE_INTEGER) throw damaged(`table number ${value}`)
    return value
  }

  #level(at: number): number {
    const level = this.#bytes.readUInt16LE(at)
    if (level >= levelLimit) throw damaged(`level ${level}`)
    return level
  }

  #optional(flag: number, at: number): number | undefined {
    const value = this.#long(at)
    if (flag !== 0) return value
    if (value !== 0) throw damaged('a field that is not there has a value')
    return undefined
  }

  #expectZero(at: number): void {
    if (this.#bytes.readUInt32LE(at) !== 0) throw damaged('a reserved field is not zero')
  }
}

function checkTable(table: TableMeta): void {
  const { number, low, high, minSeq, maxSeq, entries, deletes, job } = table
  const isSound =
    minSeq <= maxSeq &&
    deletes <= entries &&
    job.firstOutput <= number &&
    (high === undefined || compareBytes(low, high) < 0)
  if (!isSound) throw damaged(`what it says of table ${number} contradicts itself`)
}

function damaged(what: string): KintsugiError {
  return new KintsugiError('KINTSUGI_CORRUPTION', `not a version edit: ${what}`)
}

function unsupported(what: string): KintsugiError {
  return new KintsugiError(
    'KINTSUGI_UNSUPPORTED_VERSION',
    `a version edit has ${what}, which this version of kintsugi-db does not know`
  )
}
