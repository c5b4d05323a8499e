import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import type { Cursor, EntryChunk } from '../../dist/backend/backend.js'
import { EntryKind } from '../../dist/memtable/entry.js'
import type { Lookup } from '../../dist/memtable/lookup.js'
import { RangeTombstones } from '../../dist/memtable/range-tombstones.js'
import { ChunkWriter } from '../../dist/merging/chunk-writer.js'
import {
  MergingCursor,
  type CursorOrigin,
  type CursorSources
} from '../../dist/merging/merging-cursor.js'
import type { SourceCursor } from '../../dist/merging/source-cursor.js'

interface Version {
  readonly key: string
  readonly seq: number
  readonly value: string | undefined
}

/** What one source holds: versions, and removed ranges. */
interface Layer {
  readonly versions: readonly Version[]
  readonly removed: readonly { low: string; high: string | undefined; seq: number }[]
  /** Not 0 where others may be newer in part, though they come later. */
  readonly maxUnorderedSeq: number
}

/** Walks a layer; every so many answers it first wants to be loaded. */
class LayerCursor implements SourceCursor {
  age = 0
  readonly page = undefined
  key = pageOf('')
  keyStart = 0
  keyEnd = 0
  readonly maxUnorderedSeq: number
  readonly #keys: readonly string[]
  #at = -1
  #step = 1
  #calls = 0
  #isLoaded = false

  constructor(
    readonly layer: Layer,
    readonly missEvery: number
  ) {
    this.maxUnorderedSeq = layer.maxUnorderedSeq
    this.#keys = [...new Set(layer.versions.map(({ key }) => key))].toSorted(inByteOrder)
  }

  seek(key: Uint8Array | undefined, reverse: boolean, wait: boolean): boolean | null {
    if (!wait && this.#misses()) return null
    this.#step = reverse ? -1 : 1
    const text = key && Buffer.from(key).toString()
    const keys = this.#keys
    if (text === undefined) this.#at = reverse ? keys.length - 1 : 0
    else if (reverse) this.#at = keys.findLastIndex((own) => inByteOrder(own, text) <= 0)
    else this.#at = keys.findIndex((own) => inByteOrder(own, text) >= 0)
    return this.#settle()
  }

  next(wait: boolean): boolean | null {
    if (!wait && this.#misses()) return null
    this.#at += this.#step
    return this.#settle()
  }

  skip(): void {
    throw new Error('there is no page')
  }

  resolve(maxSeq: number, lookup: Lookup, withValue: boolean, wait: boolean): boolean | null {
    if (withValue && !wait && this.#misses()) return null
    const found = this.layer.versions
      .filter(({ key, seq }) => key === this.#keys[this.#at] && seq <= maxSeq)
      .toSorted((a, b) => b.seq - a.seq)[0]
    if (found === undefined) return false
    const value = Buffer.from(found.value ?? '')
    lookup.seq = found.seq
    lookup.kind = found.value === undefined ? EntryKind.delete : EntryKind.put
    lookup.memory = pageOf(value.toString())
    lookup.start = 0
    lookup.end = value.length
    return true
  }

  async load(): Promise<void> {
    await Promise.resolve()
    this.#isLoaded = true
  }

  close(): void {
    this.#at = -1
  }

  #misses(): boolean {
    if (this.#isLoaded) this.#isLoaded = false
    else if (++this.#calls % this.missEvery === 0) return true
    return false
  }

  #settle(): boolean {
    const text = this.#keys[this.#at]
    if (text === undefined) return false
    this.key = pageOf(text)
    this.keyEnd = Buffer.byteLength(text)
    return true
  }
}

class LayerOrigin implements CursorOrigin {
  stateNumber = 1
  readonly damage = { note: () => undefined }

  constructor(
    readonly layers: readonly Layer[],
    readonly missEvery: number
  ) {}

  open(): CursorSources {
    return {
      cursors: this.layers.map((layer) => new LayerCursor(layer, this.missEvery)),
      tombstones: this.layers.map((layer) => {
        const tombstones = new RangeTombstones()
        for (const { low, high, seq } of layer.removed) {
          tombstones.add(Buffer.from(low), high === undefined ? undefined : Buffer.from(high), seq)
        }
        return tombstones
      })
    }
  }

  async load(): Promise<void> {
    await Promise.resolve()
  }
}

function pageOf(text: string) {
  const bytes = Buffer.alloc(((Buffer.byteLength(text) + 3) & ~3) + 4)
  bytes.write(text)
  const memory = new ArrayBuffer(bytes.length)
  const u8 = Buffer.from(memory)
  u8.set(bytes)
  return { u8, u32: new Uint32Array(memory) }
}

const inByteOrder = (a: string, b: string): number => Buffer.compare(Buffer.from(a), Buffer.from(b))

/** What the layers, newest first, show at a sequence number. */
function expected(layers: readonly Layer[], maxSeq: number): [string, string][] {
  const versions = layers.flatMap((layer) => layer.versions)
  const removed = layers.flatMap((layer) => layer.removed)
  const keys = [...new Set(versions.map(({ key }) => key))].toSorted(inByteOrder)
  return keys.flatMap((key): [string, string][] => {
    const newest = versions
      .filter((version) => version.key === key && version.seq <= maxSeq)
      .toSorted((a, b) => b.seq - a.seq)[0]
    if (newest?.value === undefined) return []
    const isRemoved = removed.some(
      ({ low, high, seq }) =>
        seq <= maxSeq &&
        seq > newest.seq &&
        inByteOrder(low, key) <= 0 &&
        (high === undefined || inByteOrder(key, high) < 0)
    )
    return isRemoved ? [] : [[key, newest.value]]
  })
}

function entriesOf({ bytes, bounds, count, firstBound }: EntryChunk): [string, string][] {
  return Array.from({ length: count }, (_, i) => {
    const at = firstBound + 4 * i
    const text = (from: number): string =>
      bytes.subarray(bounds[at + from], bounds[at + from + 1]).toString()
    return [text(0), text(2)]
  })
}

async function walk(cursor: Cursor, isAsync: boolean, between: () => void) {
  const found: [string, string][] = []
  for (;;) {
    let chunk = isAsync ? cursor.tryNextChunk(3) : cursor.nextChunkSync(3)
    while (chunk === null) {
      await cursor.load()
      chunk = cursor.tryNextChunk(3)
    }
    if (chunk === undefined) return found
    found.push(...entriesOf(chunk))
    between()
  }
}

const key = fc.string({ unit: fc.constantFrom('a', 'b', 'c'), maxLength: 3 })

/**
 * Layers newest first: a newer one has only higher numbers, as memtables and levels have. Or, as tables
 * of level 0 after a rebuild, by their highest numbers alone.
 */
const layers = fc
  .tuple(
    fc.boolean(),
    fc.array(
      fc.record({
        versions: fc.array(
          fc.record({
            key,
            seq: fc.nat({ max: 9 }),
            value: fc.option(fc.string({ maxLength: 9 }))
          }),
          { maxLength: 12 }
        ),
        removed: fc.array(fc.record({ low: key, high: fc.option(key), seq: fc.nat({ max: 9 }) }), {
          maxLength: 2
        })
      }),
      { maxLength: 4 }
    )
  )
  .map(([isOrderly, drawn]) => {
    const made = drawn.map(({ versions, removed }, at): Layer => {
      const seqOf = (seq: number) =>
        isOrderly ? 1 + 10 * (drawn.length - at) + seq : 1 + 6 * seq + at
      const unique = new Map(versions.map((version) => [`${version.key}/${version.seq}`, version]))
      const seqs = [...versions, ...removed].map(({ seq }) => seqOf(seq))
      return {
        versions: [...unique.values()].map(({ key: own, seq, value }) => ({
          key: own,
          seq: seqOf(seq),
          value: value ?? undefined
        })),
        removed: removed.map(({ low, high, seq }) => ({
          low,
          high: high ?? undefined,
          seq: seqOf(seq)
        })),
        maxUnorderedSeq: isOrderly ? 0 : Math.max(0, ...seqs)
      }
    })
    return made.toSorted((a, b) => b.maxUnorderedSeq - a.maxUnorderedSeq)
  })

describe('a merging cursor', () => {
  // It once took the first table's version as the newest. A rebuild of the manifest puts tables into
  // level 0 whose numbers are interleaved: an iteration showed a value that was overwritten long
  // since, where a point read found the newer one.
  it('shows what the sources hold at its number, both ways, whatever has to be loaded', async () => {
    await fc.assert(
      fc.asyncProperty(
        layers,
        fc.nat({ max: 60 }),
        fc.record({ gte: fc.option(key), lt: fc.option(key) }),
        fc.boolean(),
        fc.integer({ min: 2, max: 9 }),
        fc.boolean(),
        async (drawn, maxSeq, { gte, lt }, reverse, missEvery, changes) => {
          const origin = new LayerOrigin(drawn, missEvery)
          const range = {
            ...(gte !== null && { gte: Buffer.from(gte) }),
            ...(lt !== null && { lt: Buffer.from(lt) })
          }
          const inRange = expected(drawn, maxSeq).filter(
            ([own]) =>
              (gte === null || inByteOrder(own, gte) >= 0) &&
              (lt === null || inByteOrder(own, lt) < 0)
          )
          const wanted = reverse ? inRange.toReversed() : inRange
          const options = { range, reverse, keys: true, values: true }
          for (const isAsync of [false, true]) {
            const cursor = new MergingCursor(origin, maxSeq, new ChunkWriter(), options)
            const between = (): void => {
              if (changes) origin.stateNumber++
            }
            expect(await walk(cursor, isAsync, between)).toEqual(wanted)
            const sought = wanted[Math.floor(wanted.length / 2)]
            if (sought === undefined) continue
            cursor.seek(Buffer.from(sought[0]))
            const rest = wanted.slice(Math.floor(wanted.length / 2))
            expect(await walk(cursor, isAsync, between)).toEqual(rest)
          }
        }
      ),
      { numRuns: 400 }
    )
  })
})
