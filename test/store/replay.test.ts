import { describe, expect, test } from 'vitest'
import { encodeBatch, BatchReader, type BatchOperation } from '../../dist/batch/batch.js'
import type { Backend } from '../../dist/backend/backend.js'
import { KintsugiError } from '../../dist/errors.js'
import { Replay } from '../../dist/store/replay.js'

/** A map that counts what is applied, and knows keys that cannot be prepared. */
class MapBackend {
  readonly capabilities: { readonly prefersSortedWrites: boolean }
  readonly entries = new Map<string, string>()
  readonly damaged = new Set<string>()
  readonly parked: number[] = []
  appliedSeq = 0
  operations = 0
  #isPrepared = false

  constructor(prefersSortedWrites = true) {
    this.capabilities = { prefersSortedWrites }
  }

  tryPrepare(bytes: Buffer, start: number, end: number): boolean {
    for (const operation of operationsOf(bytes, start, end)) {
      if (operation.type !== 'clear' && this.damaged.has(operation.key.toString())) {
        throw new KintsugiError('KINTSUGI_CORRUPTION', 'a damaged page')
      }
    }
    // Every other time something has to be loaded.
    this.#isPrepared = !this.#isPrepared
    return this.#isPrepared
  }

  async prepare(bytes: Buffer, start: number, end: number): Promise<void> {
    await new Promise((resolve) => setImmediate(resolve))
    operationsOf(bytes, start, end)
    this.#isPrepared = true
  }

  apply(bytes: Buffer, start: number, end: number, seq: number): void {
    for (const operation of operationsOf(bytes, start, end)) {
      this.operations++
      if (operation.type === 'clear') this.entries.clear()
      else if (this.damaged.has(operation.key.toString())) this.parked.push(seq)
      else if (operation.type === 'del') this.entries.delete(operation.key.toString())
      else this.entries.set(operation.key.toString(), operation.value.toString())
    }
    this.appliedSeq = seq
  }
}

function operationsOf(bytes: Buffer, start: number, end: number): BatchOperation[] {
  const reader = new BatchReader(bytes, 0)
  reader.reset(bytes, start, end)
  const operations: BatchOperation[] = []
  while (reader.next()) operations.push(reader.operation())
  return operations
}

const put = (key: string, value: string): BatchOperation => {
  return { type: 'put', key: Buffer.from(key), value: Buffer.from(value) }
}

async function replay(backend: MapBackend, commits: readonly BatchOperation[][]): Promise<void> {
  const running = new Replay(backend as unknown as Backend)
  for (const [i, operations] of commits.entries()) {
    const bytes = encodeBatch(operations)
    await running.add(bytes, 0, bytes.length, i + 1)
    bytes.fill(0xee)
  }
  await running.finish()
}

describe('a replay', () => {
  test('applies commits as they are where sorting gains nothing', async () => {
    const backend = new MapBackend(false)
    backend.damaged.add('bad')
    const clear: BatchOperation = { type: 'clear', range: {} }
    await replay(backend, [
      [put('a', '1'), put('a', '2')],
      [put('bad', '1')],
      [clear],
      [put('b', '3')]
    ])
    expect(backend.operations).toBe(5)
    expect(backend.parked).toEqual([2])
    expect([...backend.entries]).toEqual([['b', '3']])
    expect(backend.appliedSeq).toBe(4)
  })

  test('applies many commits as one, each key once', async () => {
    const backend = new MapBackend()
    const commits = Array.from({ length: 5000 }, (_, i) => [
      put(`key ${(i * 31) % 1000}`, `value ${i}`),
      put('counter', `${i}`)
    ])
    await replay(backend, [...commits, [{ type: 'del', key: Buffer.from('key 7') }]])
    expect(backend.appliedSeq).toBe(5001)
    expect(backend.operations).toBe(1001)
    expect(backend.entries.get('counter')).toBe('4999')
    expect(backend.entries.get('key 7')).toBeUndefined()
    for (let i = 4000; i < 5000; i++) {
      const key = `key ${(i * 31) % 1000}`
      if (key !== 'key 7') expect(backend.entries.get(key)).toBe(`value ${i}`)
    }
  })

  test('keeps the place of a range removal, and of a commit without room beside others', async () => {
    const backend = new MapBackend()
    const large = 'x'.repeat(9 * 2 ** 20)
    await replay(backend, [
      [put('a', '1')],
      [{ type: 'clear', range: {} }, put('b', '2')],
      [put('c', '3'), put('a', '4')],
      [put('a', large)],
      [put('a', '5'), put('b', '6')]
    ])
    expect(Object.fromEntries(backend.entries)).toEqual({ a: '5', b: '6', c: '3' })
    expect(backend.appliedSeq).toBe(5)
  })

  test('says of which commits operations met damage, and applies all others', async () => {
    const backend = new MapBackend()
    backend.damaged.add('key 77')
    const commits = Array.from({ length: 3000 }, (_, i) => [put(`key ${i % 300}`, `value ${i}`)])
    await replay(backend, commits)
    expect(backend.parked).toEqual(Array.from({ length: 10 }, (_, i) => 78 + i * 300))
    expect(backend.appliedSeq).toBe(3000)
    expect(backend.entries.size).toBe(299)
    for (const [key, value] of backend.entries) {
      expect(value).toBe(`value ${2700 + Number(key.slice(4))}`)
    }
  })

  test('refuses to go on where a range removal cannot be prepared', async () => {
    const backend = new MapBackend()
    backend.damaged.add('bad')
    const commits: BatchOperation[][] = [
      [put('a', '1')],
      [{ type: 'clear', range: {} }, put('bad', '2')]
    ]
    await expect(replay(backend, commits)).rejects.toMatchObject({ code: 'KINTSUGI_CORRUPTION' })
  })
})
