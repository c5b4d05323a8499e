/** Unit of sharing between copies, and of space on the simulated device. */
export const chunkBytes = 4096

/**
 * The bytes of one file, in chunks that copies share until one of them writes. `clone` costs the
 * same whatever the size. A chunk never written is a hole and reads as zeros.
 */
export class MemContent {
  #chunks: (Buffer | undefined)[] = []
  /** Chunks that no other copy shares. */
  #owned = new Set<number>()
  #listShared = false
  #sizeBytes = 0

  get sizeBytes(): number {
    return this.#sizeBytes
  }

  clone(): MemContent {
    const copy = new MemContent()
    copy.#chunks = this.#chunks
    copy.#sizeBytes = this.#sizeBytes
    copy.#listShared = true
    this.#listShared = true
    this.#owned.clear()
    return copy
  }

  read(target: Uint8Array, position: number): number {
    const length = Math.max(0, Math.min(target.length, this.#sizeBytes - position))
    for (let done = 0; done < length;) {
      const start = (position + done) % chunkBytes
      const count = Math.min(chunkBytes - start, length - done)
      const chunk = this.#chunks[(position + done - start) / chunkBytes]
      if (chunk) target.set(chunk.subarray(start, start + count), done)
      else target.fill(0, done, done + count)
      done += count
    }
    return length
  }

  write(source: Uint8Array, position: number): void {
    for (let done = 0; done < source.length;) {
      const start = (position + done) % chunkBytes
      const count = Math.min(chunkBytes - start, source.length - done)
      const index = (position + done - start) / chunkBytes
      this.#own(index, count === chunkBytes).set(source.subarray(done, done + count), start)
      done += count
    }
    if (source.length > 0) this.#sizeBytes = Math.max(this.#sizeBytes, position + source.length)
  }

  /** Cuts, or extends with a hole. */
  truncate(sizeBytes: number): void {
    if (sizeBytes < this.#sizeBytes) {
      const whole = Math.ceil(sizeBytes / chunkBytes)
      this.#ownList()
      if (this.#chunks.length > whole) this.#chunks.length = whole
      for (const index of this.#owned) if (index >= whole) this.#owned.delete(index)
      // What lies behind the cut must read as zeros when the file grows again.
      const start = sizeBytes % chunkBytes
      if (start > 0 && this.#chunks[whole - 1]) this.#own(whole - 1, false).fill(0, start)
    }
    this.#sizeBytes = sizeBytes
  }

  hasChunk(index: number): boolean {
    return this.#chunks[index] !== undefined
  }

  /** How many chunks from this index on are not holes. */
  chunkCountFrom(firstIndex: number): number {
    let count = 0
    for (let i = firstIndex; i < this.#chunks.length; i++) if (this.#chunks[i]) count++
    return count
  }

  toBuffer(): Buffer {
    const all = Buffer.alloc(this.#sizeBytes)
    this.read(all, 0)
    return all
  }

  #ownList(): void {
    if (!this.#listShared) return
    this.#chunks = this.#chunks.slice()
    this.#listShared = false
  }

  /** The chunk, made this copy's own; `overwritten`: every byte of it is about to be replaced. */
  #own(index: number, overwritten: boolean): Buffer {
    this.#ownList()
    const present = this.#chunks[index]
    if (present && this.#owned.has(index)) return present
    const own = overwritten || present ? Buffer.allocUnsafe(chunkBytes) : Buffer.alloc(chunkBytes)
    if (present && !overwritten) own.set(present)
    while (this.#chunks.length < index) this.#chunks.push(undefined)
    this.#chunks[index] = own
    this.#owned.add(index)
    return own
  }
}
