import type { TextReads } from '../../backend/backend.js'
import type { InMemory, LevelReader } from './level-reader.js'
import type { SharedSnapshot } from './level-snapshots.js'

/** Point reads as text, of the current state or of a view's. */
export class LevelTexts implements TextReads {
  readonly #reader: LevelReader
  readonly #inMemory: InMemory
  readonly #shared: SharedSnapshot | undefined

  constructor(reader: LevelReader, inMemory: InMemory, shared?: SharedSnapshot) {
    this.#reader = reader
    this.#inMemory = inMemory
    this.#shared = shared
  }

  getSync(key: Uint8Array): string | undefined {
    const value = this.#inMemory(key)
    return value === null ? this.#reader.getTextSync(key, this.#shared) : value?.toString()
  }

  load(key: Uint8Array): Promise<string | undefined> {
    return this.#reader.getText(key, this.#shared)
  }

  loadMany(
    keys: readonly Uint8Array[],
    values: (Buffer | string | undefined | null)[]
  ): Promise<void> {
    return this.#reader.fillInTexts(keys, values, this.#shared)
  }
}
