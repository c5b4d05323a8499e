import assert from 'node:assert/strict'
import { SeededRandom } from '../../dist/base/random.js'
import { isCorruption } from '../../dist/errors.js'
import { KintsugiError, open } from '../../dist/index.js'
import type { MemVfs } from '../../dist/vfs/mem-vfs.js'
import { MemVfs as MemoryFiles } from '../../dist/vfs/mem-vfs.js'
import { tinyOptions, type BackendName } from '../helpers/backends.js'
import { TestClock } from '../helpers/test-clock.js'
import {
  bytesOf,
  difference,
  Reference,
  sortedEntries,
  type Entries,
  type KeyText,
  type ReferenceOperation
} from '../model/reference.js'

export const path = '/store'

/** A store at rest, what it holds, and how it looked some commits before. */
export interface Specimen {
  readonly vfs: MemVfs
  readonly older: MemVfs
  readonly reference: Reference
  readonly closed: boolean
}

/**
 * What became of a piece of damage. `refused`: opening names it. `found`: reads of what it hit or a
 * check name it. `dropped`: taken for a torn write and reported, which rule W7 permits for the last
 * synced group alone. `harmless`: everything is there.
 */
export type Verdict = 'refused' | 'found' | 'dropped' | 'harmless'

const detecting = new Set([
  'KINTSUGI_CORRUPTION',
  'KINTSUGI_WAL_CORRUPTION',
  'KINTSUGI_FILE_MISSING',
  'KINTSUGI_UNSUPPORTED_VERSION'
])

export function openAt(vfs: MemVfs, readOnly = false) {
  const random = new SeededRandom(5)
  return open(path, { ...tinyOptions, vfs, clock: new TestClock(), random, readOnly })
}

/**
 * A store with large values, several log segments, and commits behind the last persist. Another
 * seed makes another store with the same contents.
 */
export async function makeSpecimen(
  backend: BackendName,
  closed: boolean,
  seed = 3
): Promise<Specimen> {
  const vfs = new MemoryFiles()
  const clock = new TestClock()
  const reference = new Reference()
  const store = await open(path, {
    ...tinyOptions,
    // Persists come when they are asked for.
    persistDirtyBytes: 1024 * 1024,
    persistWalBytes: 1024 * 1024,
    backend,
    // More to damage.
    compression: 'none',
    vfs,
    clock,
    random: new SeededRandom(seed)
  })
  let older: MemVfs | undefined
  for (let i = 0; i < 90; i++) {
    const operations: ReferenceOperation[] = []
    for (let j = 0; j < 3; j++) {
      const bytes = i % 30 === 17 && j === 0 ? 9000 : 20 + ((i * 37 + j * 101) % 300)
      const value = Buffer.alloc(bytes, `v${i}.${j};`)
      operations.push({ type: 'put', key: `key${(i * 7 + j * 31) % 120}`, value })
    }
    if (i % 9 === 8) operations.push({ type: 'del', key: `key${i}` })
    reference.commit(operations)
    await store.batch(
      operations.map((operation) => {
        const key = bytesOf((operation as { key: KeyText }).key)
        return operation.type === 'put'
          ? { type: 'put', key, value: operation.value }
          : { type: 'del', key }
      })
    )
    if (i === 30 || i === 60) await store.persist()
    if (i === 45 || i === 75) await clock.run(20)
    if (i === 70) older = vfs.crashClone('everything')
  }
  // The idle watermark is a witness of the last commit (rule W7).
  await clock.run(30)
  if (closed) await store.close()
  return { vfs: vfs.crashClone('everything'), older: older!, reference, closed }
}

/** Opens a damaged copy and reads all of it; anything wrong or missing in silence is an error. */
export async function judge(specimen: Specimen, vfs: MemVfs): Promise<Verdict> {
  let store: Awaited<ReturnType<typeof openAt>>
  try {
    store = await openAt(vfs)
  } catch (error) {
    assert.ok(error instanceof KintsugiError, `opening failed with ${String(error)}`)
    assert.ok(detecting.has(error.code), `opening failed with ${error.code}: ${error.message}`)
    return 'refused'
  }
  try {
    assert.equal(store.recovery.created, false, 'a new store took the place of the damaged one')
    const { reference } = specimen
    const dropped = store.seq < reference.lastSeq
    if (dropped) {
      assert.ok(!specimen.closed, 'commits are missing after a clean close')
      assert.equal(store.seq, reference.lastSeq - 1, 'more than the last group was dropped')
      assert.ok(store.recovery.droppedBytes > 0, 'what was dropped is not reported')
      assert.equal(store.recovery.droppedFirstSeq, store.seq + 1)
    }
    const entries = reference.at(store.seq)
    const readErrors = await readEverything(store, entries)
    const findings = await store.verify('comprehensive')
    const errors = findings.filter(({ severity }) => severity === 'error')
    if (readErrors > 0) assert.ok(errors.length > 0, 'reads fail and verify finds nothing')
    const told = readErrors > 0 || findings.length > 0 || store.recovery.warnings.length > 0
    return dropped ? 'dropped' : told ? 'found' : 'harmless'
  } finally {
    await store.close().catch((error: unknown) => {
      assert.ok(error instanceof KintsugiError, `closing failed with ${String(error)}`)
      assert.notEqual(error.code, 'KINTSUGI_INTERNAL', error.stack)
    })
  }
}

/** How many reads failed with a corruption error; every other read has to be right. */
async function readEverything(
  store: Awaited<ReturnType<typeof openAt>>,
  entries: Entries
): Promise<number> {
  let errors = 0
  const tolerate = (error: unknown): void => {
    if (!isCorruption(error)) throw error
    errors++
  }
  for (const [key, value] of entries) {
    let found: Buffer | undefined
    try {
      found = store.getSync(bytesOf(key))
    } catch (error) {
      tolerate(error)
      continue
    }
    assert.ok(found, `${key} is missing in silence`)
    assert.deepEqual(found, value, `${key} has a wrong value in silence`)
  }
  for (const reverse of [false, true]) {
    const expected = sortedEntries(entries, {}, reverse)
    const found: [Buffer, Buffer][] = []
    try {
      for (const entry of store.entries({ reverse })) found.push(entry)
      assert.equal(difference(expected, found), undefined)
    } catch (error) {
      tolerate(error)
      assert.equal(difference(expected.slice(0, found.length), found), undefined)
    }
  }
  try {
    assert.equal(await store.get('never written'), undefined)
  } catch (error) {
    tolerate(error)
  }
  return errors
}
