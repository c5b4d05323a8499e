import { assert } from '../base/assert.js'
import { KintsugiError } from '../errors.js'
import { frameBytes, frameHeaderBytes, FrameKind, maxPayloadBytes } from './format.js'
import { writeFrameHeader } from './frame-encoder.js'

/** Memory of queued frames, one behind the other; written to the file as it is. */
export interface Chunk {
  readonly buffer: Buffer
  readonly view: DataView
  /** Bytes of committed frames. */
  used: number
  /** Sequence number of the last frame in it. */
  lastSeq: number
  next: Chunk | undefined
}

/** A place between two frames. */
export interface Cursor {
  chunk: Chunk
  offset: number
}

/** Room for one payload: `buffer[start, end)`. The same object every time. */
export interface Staged {
  buffer: Buffer
  start: number
  end: number
}

/** Enough for a group of thousands of small commits; larger frames get a chunk of their own. */
export const chunkBytes = 256 * 1024
const pooledChunks = 32

/**
 * Where commits wait for their place in the log. Payloads are encoded straight into this memory and
 * stay there until they are synced and released, so that they can be written again after a failure
 * (rule F2) and applied without a copy.
 */
export class Staging {
  readonly #staged: Staged = { buffer: Buffer.alloc(0), start: 0, end: 0 }
  #tail: Chunk = newChunk(chunkBytes)
  #stagedChunk: Chunk | undefined
  /** Fully synced chunks, oldest first, that the store may still read from. */
  readonly #draining: Chunk[] = []
  readonly #pool: Chunk[] = []

  get isStaged(): boolean {
    return this.#stagedChunk !== undefined
  }

  get tail(): Chunk {
    return this.#tail
  }

  stage(payloadBytes: number): Staged {
    assert(this.#stagedChunk === undefined, 'one payload is staged at a time')
    if (payloadBytes > maxPayloadBytes) {
      throw new KintsugiError(
        'KINTSUGI_BATCH_TOO_LARGE',
        `a batch of ${payloadBytes} bytes is over the limit of ${maxPayloadBytes}: split it`
      )
    }
    const chunk = this.#room(frameBytes(payloadBytes))
    this.#stagedChunk = chunk
    const start = chunk.used + frameHeaderBytes
    this.#staged.buffer = chunk.buffer
    this.#staged.start = start
    this.#staged.end = start + payloadBytes
    return this.#staged
  }

  unstage(): void {
    this.#stagedChunk = undefined
  }

  /** Turns the staged payload into a queued commit. */
  commit(seq: number, operationCount: number, commitTimeMs: number): void {
    const chunk = this.#stagedChunk
    assert(chunk !== undefined, 'commit follows stage')
    this.#append(chunk, FrameKind.commit, operationCount, seq, commitTimeMs)
  }

  /** Queues a frame that says that sequence numbers up to `seq` were given up. */
  gap(seq: number, nowMs: number): void {
    const { start } = this.stage(0)
    assert(start >= frameHeaderBytes && this.#stagedChunk !== undefined, 'a gap has its room')
    this.#append(this.#stagedChunk, FrameKind.gap, 0, seq, nowMs)
  }

  #append(chunk: Chunk, kind: number, count: number, seq: number, timeMs: number): void {
    const { end } = this.#staged
    const payloadBytes = end - chunk.used - frameHeaderBytes
    writeFrameHeader(
      chunk.buffer,
      chunk.view,
      chunk.used,
      payloadBytes,
      kind,
      0,
      count,
      seq,
      timeMs
    )
    chunk.used += frameBytes(payloadBytes)
    chunk.lastSeq = seq
    this.#stagedChunk = undefined
    if (chunk !== this.#tail) {
      this.#tail.next = chunk
      this.#tail = chunk
    }
  }

  /** Forgets every frame behind the cursor. */
  discardBehind(cursor: Cursor, seq: number): void {
    cursor.chunk.used = cursor.offset
    cursor.chunk.lastSeq = seq
    cursor.chunk.next = undefined
    this.#tail = cursor.chunk
  }

  /** Takes a chunk whose frames are all synced out of the queue. */
  drained(chunk: Chunk): void {
    this.#draining.push(chunk)
  }

  /** Makes memory usable again. Only while no thread can still be writing from it. */
  reclaim(releasedSeq: number): void {
    while (this.#draining.length > 0 && this.#draining[0].lastSeq <= releasedSeq) {
      const chunk = this.#draining.shift() as Chunk
      if (chunk.buffer.length === chunkBytes && this.#pool.length < pooledChunks) {
        chunk.used = 0
        chunk.lastSeq = 0
        chunk.next = undefined
        this.#pool.push(chunk)
      }
    }
  }

  /** The last chunk with room behind it, or a new one that `#append` links in. */
  #room(bytes: number): Chunk {
    const tail = this.#tail
    if (tail.buffer.length - tail.used >= bytes) return tail
    if (bytes > chunkBytes) return newChunk(bytes)
    return this.#pool.pop() ?? newChunk(chunkBytes)
  }
}

function newChunk(bytes: number): Chunk {
  // Not from Node's pool: its own memory is aligned and lives as long as the chunk.
  const buffer = Buffer.allocUnsafeSlow(bytes)
  const view = new DataView(buffer.buffer, buffer.byteOffset, buffer.byteLength)
  return { buffer, view, used: 0, lastSeq: 0, next: undefined }
}
