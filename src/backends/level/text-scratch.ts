/** Text up to this length is encoded in memory that is used again. */
const maxScratchChars = 16 * 1024
/** A character of a string has at most so many bytes in UTF-8. */
const bytesPerChar = 3
/** Views up to this length are kept. */
const maxKeptBytes = 1024

/** The UTF-8 bytes of texts, each valid until the next one. */
export class TextScratch {
  readonly #memory = Buffer.allocUnsafeSlow(maxScratchChars * bytesPerChar)
  readonly #views: (Buffer | undefined)[] = []

  encode(text: string): Buffer {
    if (text.length > maxScratchChars) return Buffer.from(text)
    const length = this.#memory.write(text)
    if (length > maxKeptBytes) return this.#memory.subarray(0, length)
    return (this.#views[length] ??= this.#memory.subarray(0, length))
  }
}
