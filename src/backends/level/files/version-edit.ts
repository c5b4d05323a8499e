import { ByteReader, malformed } from './byte-reader.js'
import { EditTag, keyTrailerBytes, levelCount } from './format.js'

/** A table as the manifest has it. Its bounds are keys with their trailers. */
export interface LiveTable {
  readonly level: number
  readonly number: number
  readonly sizeBytes: number
  readonly smallest: Buffer
  readonly largest: Buffer
}

/** One record of a manifest: what changes from one version to the next. */
export interface VersionEdit {
  comparator?: string
  logNumber?: number
  prevLogNumber?: number
  nextFile?: number
  lastSeq?: number
  readonly added: LiveTable[]
  readonly deleted: { readonly level: number; readonly number: number }[]
}

/** Throws CORRUPTION where the bytes are no version edit. The edit's keys are views of them. */
export function decodeVersionEdit(bytes: Buffer): VersionEdit {
  const reader = new ByteReader(bytes)
  const edit: VersionEdit = { added: [], deleted: [] }
  while (!reader.isAtEnd) readField(reader, edit)
  return edit
}

function readField(reader: ByteReader, edit: VersionEdit): void {
  const tag = reader.varint32()
  switch (tag) {
    case EditTag.comparator:
      edit.comparator = reader.slice().toString('latin1')
      return
    case EditTag.logNumber:
      edit.logNumber = reader.varint()
      return
    case EditTag.prevLogNumber:
      edit.prevLogNumber = reader.varint()
      return
    case EditTag.nextFile:
      edit.nextFile = reader.varint()
      return
    case EditTag.lastSeq:
      edit.lastSeq = reader.varint()
      return
    case EditTag.compactPointer:
      readLevel(reader)
      readKey(reader)
      return
    case EditTag.deletedFile:
      edit.deleted.push({ level: readLevel(reader), number: reader.varint() })
      return
    case EditTag.newFile:
      edit.added.push(readTable(reader))
      return
    default:
      throw malformed(`a version edit has the unknown tag ${tag}`)
  }
}

function readTable(reader: ByteReader): LiveTable {
  const level = readLevel(reader)
  const number = reader.varint()
  const sizeBytes = reader.varint()
  return { level, number, sizeBytes, smallest: readKey(reader), largest: readKey(reader) }
}

function readLevel(reader: ByteReader): number {
  const level = reader.varint32()
  if (level >= levelCount) throw malformed(`a version edit has the level ${level}`)
  return level
}

function readKey(reader: ByteReader): Buffer {
  const key = reader.slice()
  if (key.length < keyTrailerBytes) throw malformed('a version edit has too short a key')
  return key
}
