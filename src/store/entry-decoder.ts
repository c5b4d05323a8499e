import type { EntryChunk, ReadyEntry } from '../backend/backend.js'
import { BufferView } from '../base/bytes.js'
import type { Encoding } from '../options.js'

/** What an iterator yields per entry. */
export type Selection = 'entries' | 'keys' | 'values'

/** How entries come out. */
export interface Decoding {
  readonly selection: Selection
  readonly keyEncoding: Encoding
  readonly valueEncoding: Encoding
}

/** One entry of a chunk. */
export function decodeEntry(chunk: EntryChunk, index: number, decoding: Decoding): unknown {
  const { selection, keyEncoding, valueEncoding } = decoding
  const { entries } = chunk
  if (entries !== undefined) return select(entries[chunk.firstBound + index], selection)
  const at = chunk.firstBound + (index << 2)
  if (selection === 'keys') return decode(chunk, at, keyEncoding)
  const value = decode(chunk, at + 2, valueEncoding)
  return selection === 'values' ? value : [decode(chunk, at, keyEncoding), value]
}

/** Entries `[start, end)` of a chunk, to the end of a list: a loop of its own for each selection. */
export function decodeEntries(
  chunk: EntryChunk,
  start: number,
  end: number,
  decoding: Decoding,
  items: unknown[]
): void {
  const { selection, keyEncoding, valueEncoding } = decoding
  if (chunk.entries !== undefined) {
    const { entries, firstBound } = chunk
    for (let i = firstBound + start; i < firstBound + end; i++) {
      items.push(select(entries[i], selection))
    }
    return
  }
  const last = chunk.firstBound + (end << 2)
  let at = chunk.firstBound + (start << 2)
  if (selection === 'keys') {
    for (; at < last; at += 4) items.push(decode(chunk, at, keyEncoding))
  } else if (selection === 'values') {
    for (; at < last; at += 4) items.push(decode(chunk, at + 2, valueEncoding))
  } else {
    for (; at < last; at += 4) {
      items.push([decode(chunk, at, keyEncoding), decode(chunk, at + 2, valueEncoding)])
    }
  }
}

/** Behind the first entry with which those from `start` on have more than `maxBytes`; or `end`. */
export function endWithin(chunk: EntryChunk, start: number, end: number, maxBytes: number): number {
  if (maxBytes === Infinity) return end
  let bytes = 0
  let index = start
  for (; index < end && bytes <= maxBytes; index++) bytes += bytesOf(chunk, index, index + 1)
  return index
}

/** Bytes of the keys and values `[start, end)`; of text that is there already, its characters. */
export function bytesOf(chunk: EntryChunk, start: number, end: number): number {
  const { entries, bounds, firstBound } = chunk
  let bytes = 0
  if (entries !== undefined) {
    for (let i = firstBound + start; i < firstBound + end; i++) {
      bytes += entries[i][0].length + entries[i][1].length
    }
    return bytes
  }
  for (let at = firstBound + (start << 2); at < firstBound + (end << 2); at += 2) {
    bytes += bounds[at + 1] - bounds[at]
  }
  return bytes
}

function select(entry: ReadyEntry, selection: Selection): unknown {
  if (selection === 'entries') return entry
  return selection === 'keys' ? entry[0] : entry[1]
}

function decode(chunk: EntryChunk, at: number, encoding: Encoding): Buffer | string {
  const start = chunk.bounds[at]
  const end = chunk.bounds[at + 1]
  if (encoding === 'utf8') return chunk.bytes.toString('utf8', start, end)
  return new BufferView(chunk.memory, start, end - start)
}
