import type { ReadView } from '../backend/backend.js'
import { KintsugiError } from '../errors.js'
import { checkOptionNames, describe, invalidOption, type Encoding } from '../options.js'
import { keyBytes, rangeBytes, type Bytes } from './arguments.js'
import type { Selection } from './entry-decoder.js'
import {
  iteratorOptionNames,
  limitOf,
  StoreIterator,
  type IterationPlan,
  type IteratorOptions,
  type KeysAs,
  type ValuesAs
} from './iterator.js'
import { OpenIterators } from './open-iterators.js'
import { checkSignal } from './work.js'

/** Point reads; a backend answers them for its current state, a view for its own. */
export type PointReads = Pick<
  ReadView,
  'getSync' | 'tryGet' | 'load' | 'tryGetMany' | 'texts' | 'answersLoads'
>

/**
 * What can be read, from the store's current state or from a snapshot. `K` and `V` are what keys
 * and values come out as: `Buffer`, or `string` with the encoding `utf8`. A Buffer that is returned
 * is the caller's own.
 */
export abstract class Reader<K extends Buffer | string, V extends Buffer | string> {
  protected readonly keyEncoding: Encoding
  protected readonly valueEncoding: Encoding
  protected readonly iterators = new OpenIterators()

  constructor(keyEncoding: Encoding, valueEncoding: Encoding) {
    this.keyEncoding = keyEncoding
    this.valueEncoding = valueEncoding
  }

  /** Where point reads go; throws when closed. */
  protected abstract reads(): PointReads
  /** A view for one iterator, which closes it; throws when closed. */
  protected abstract openView(): ReadView

  /** The value of a key, or undefined. Waits for the disk where it is not in memory. */
  getSync(key: Bytes): V | undefined {
    if (this.valueEncoding === 'utf8') return this.getTextSync(key) as V | undefined
    return this.reads().getSync(keyBytes(key)) as V | undefined
  }

  /** As `getSync`, with the value as text whatever the encoding is. */
  getTextSync(key: Bytes): string | undefined {
    const reads = this.reads()
    const { texts } = reads
    if (texts !== undefined) return texts.getSync(keyBytes(key))
    return reads.getSync(keyBytes(key))?.toString()
  }

  /** The value of a key, or undefined. Never blocks the event loop on the disk. */
  async get(key: Bytes): Promise<V | undefined> {
    return (await this.getOrLoad(key, this.valueEncoding)) as V | undefined
  }

  /** As `get`, with the value as text whatever the encoding is. */
  async getText(key: Bytes): Promise<string | undefined> {
    return (await this.getOrLoad(key, 'utf8')) as string | undefined
  }

  /** As `get` in an encoding, and a promise only where the disk has to be asked. */
  getOrLoad(
    key: Bytes,
    encoding: Encoding
  ): Buffer | string | undefined | Promise<Buffer | string | undefined> {
    const reads = this.reads()
    const bytes = keyBytes(key)
    const value = reads.tryGet(bytes)
    if (value !== null) return encoding === 'utf8' ? value?.toString() : value
    const { texts } = reads
    if (encoding === 'utf8' && texts !== undefined) return texts.load(bytes)
    if (encoding === 'buffer' && reads.answersLoads === true) {
      return reads.load(bytes) as Promise<Buffer | undefined>
    }
    return this.#load(ownKey(key, bytes), encoding)
  }

  async #load(key: Uint8Array, encoding: Encoding): Promise<Buffer | string | undefined> {
    let value: Buffer | undefined | null = null
    while (value === null) {
      value = await this.reads().load(key)
      if (value === null) value = this.reads().tryGet(key)
    }
    return encoding === 'utf8' ? value?.toString() : value
  }

  /**
   * The value of a key where that needs no waiting, undefined where there is none; null where the
   * disk has to be asked, which `get` does. For callers that would rather not await.
   */
  tryGet(key: Bytes): V | undefined | null {
    const value = this.reads().tryGet(keyBytes(key))
    return value === null ? null : this.#decode(value)
  }

  /** Whether there is a value for a key. */
  async has(key: Bytes): Promise<boolean> {
    return (await this.get(key)) !== undefined
  }

  /** Whether there is a value for a key. Waits for the disk where it is not in memory. */
  hasSync(key: Bytes): boolean {
    return this.getSync(key) !== undefined
  }

  /** The values of many keys, in their order; undefined where there is none. */
  getManySync(keys: readonly Bytes[]): (V | undefined)[] {
    const bytes = keyList(keys)
    const reads = this.reads()
    const values = reads.tryGetMany(bytes)
    for (let i = 0; i < values.length; i++) {
      if (values[i] === null) values[i] = reads.getSync(bytes[i])
    }
    return this.#decodeAll(values)
  }

  /** The values of many keys, in their order. Never blocks the event loop on the disk. */
  async getMany(keys: readonly Bytes[]): Promise<(V | undefined)[]> {
    if (this.valueEncoding === 'utf8') return (await this.getManyTexts(keys)) as (V | undefined)[]
    return this.#getMany<Buffer>(keys, (view, own, values) =>
      view.loadMany(own, values)
    ) as Promise<(V | undefined)[]>
  }

  /** As `getMany`, with the values as text whatever the encoding is. */
  async getManyTexts(keys: readonly Bytes[]): Promise<(string | undefined)[]> {
    const values = await this.#getMany<Buffer | string>(keys, (view, own, found) =>
      view.texts === undefined
        ? view.loadMany(own, found as (Buffer | undefined | null)[])
        : view.texts.loadMany(own, found)
    )
    for (let i = 0; i < values.length; i++) values[i] = values[i]?.toString()
    return values as (string | undefined)[]
  }

  /** All values come from one state, however long loading takes. */
  async #getMany<T>(
    keys: readonly Bytes[],
    load: (view: ReadView, keys: Uint8Array[], values: (T | undefined | null)[]) => Promise<void>
  ): Promise<(T | undefined)[]> {
    const bytes = keyList(keys)
    const values = this.reads().tryGetMany(bytes) as (T | undefined | null)[]
    if (values.includes(null)) {
      const view = this.openView()
      const own = view.answersLoads === true ? bytes : bytes.map((key, i) => ownKey(keys[i], key))
      try {
        await load(view, own, values)
      } finally {
        view.close()
      }
    }
    // Nothing is null any more.
    return values as (T | undefined)[]
  }

  /** Entries `[key, value]` of a range in key order, with `for … of` or `for await … of`. */
  entries<const O extends IteratorOptions = IteratorOptions>(
    options?: O
  ): StoreIterator<[KeysAs<O, K>, ValuesAs<O, V>]> {
    return this.#iterate('entries', options)
  }

  /** Keys of a range in order. */
  keys<const O extends IteratorOptions = IteratorOptions>(
    options?: O
  ): StoreIterator<KeysAs<O, K>> {
    return this.#iterate('keys', options)
  }

  /** Values of a range in key order. */
  values<const O extends IteratorOptions = IteratorOptions>(
    options?: O
  ): StoreIterator<ValuesAs<O, V>> {
    return this.#iterate('values', options)
  }

  #iterate<T>(selection: Selection, options: IteratorOptions = {}): StoreIterator<T> {
    return new StoreIterator<T>(this.#plan(selection, options), this.openView(), this.iterators)
  }

  #plan(selection: Selection, options: IteratorOptions): IterationPlan {
    checkOptionNames(options, iteratorOptionNames)
    const { reverse = false, signal } = options
    if (typeof reverse !== 'boolean') {
      throw invalidOption('reverse', `${describe(reverse)} was given, allowed is true or false`)
    }
    checkSignal(signal)
    return {
      selection,
      range: rangeBytes(options),
      reverse,
      limit: limitOf(options.limit),
      signal,
      keyEncoding: encodingOf('keyEncoding', options.keyEncoding) ?? this.keyEncoding,
      valueEncoding: encodingOf('valueEncoding', options.valueEncoding) ?? this.valueEncoding
    }
  }

  // The casts hold because V is fixed by the encoding where the reader is made.
  #decode(value: Buffer | undefined): V | undefined {
    if (value === undefined || this.valueEncoding === 'buffer') return value as V | undefined
    return value.toString('utf8') as V
  }

  #decodeAll(values: (Buffer | undefined | null)[]): (V | undefined)[] {
    if (this.valueEncoding === 'buffer') return values as (V | undefined)[]
    return values.map((value) => this.#decode(value ?? undefined))
  }
}

/**
 * The bytes of a key where nobody changes them while something waits; those of a string were made
 * for it.
 */
function ownKey(key: Bytes, bytes: Uint8Array): Uint8Array {
  return typeof key === 'string' ? bytes : new Uint8Array(bytes)
}

function keyList(keys: readonly Bytes[]): Uint8Array[] {
  if (Array.isArray(keys)) return keys.map(keyBytes)
  throw new KintsugiError(
    'KINTSUGI_INVALID_ARGUMENT',
    `keys must be an array, ${describe(keys)} was given`
  )
}

function encodingOf(name: string, given: Encoding | undefined): Encoding | undefined {
  if (given === undefined || given === 'buffer' || given === 'utf8') return given
  throw invalidOption(name, `${describe(given)} was given, allowed is 'buffer' or 'utf8'`)
}
