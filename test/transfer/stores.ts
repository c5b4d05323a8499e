import { expect } from 'vitest'
import { backendNames } from '../../dist/backends/registry.js'
import { SeededRandom } from '../../dist/base/random.js'
import { open, type MigrateOptions, type OpenOptions } from '../../dist/index.js'
import { copyBetween } from '../../dist/transfer/migrate.js'
import type { TransferReport } from '../../dist/transfer/transfer.js'
import type { Vfs } from '../../dist/vfs/vfs.js'
import { tinyOptions, type BackendName } from '../helpers/backends.js'
import { TestClock } from '../helpers/test-clock.js'

export const source = '/source'
export const destination = '/destination'
export const markerPath = `${destination}/UNFINISHED-COPY`

/** Every backend into every other, and into its own kind. */
export const pairs = backendNames.flatMap((from) => backendNames.map((to) => [from, to] as const))

/** Those that live in any file system, the one in memory too. */
export const memoryPairs = pairs.filter((names) => !(names as readonly string[]).includes('level'))

export type Entries = readonly (readonly [Buffer, Buffer])[]

/** Entries in key order, the empty key among them. */
export function someEntries(count: number, seed: number, maxValueBytes = 120): Entries {
  const random = new SeededRandom(seed)
  return Array.from({ length: count }, (_, i) => [
    Buffer.from(i === 0 ? '' : `key${String(i).padStart(8, '0')}`),
    random.fill(Buffer.alloc(random.below(maxValueBytes))) as Buffer
  ])
}

/** Small batches and everything else small, so that an interruption finds many places to strike. */
export const smallBounds = { bytes: 1500, entries: 10 }

/** What opening and copying in memory need to be the same each time. */
export function inMemory(vfs: Vfs, seed = 5) {
  return { ...tinyOptions, vfs, clock: new TestClock(), random: new SeededRandom(seed) } as const
}

/** A closed store with these entries. */
export async function makeStore(path: string, entries: Entries, options: OpenOptions) {
  const store = await open(path, options)
  for (let i = 0; i < entries.length; i += 50) {
    const some = entries.slice(i, i + 50)
    await store.batch(some.map(([key, value]) => ({ type: 'put', key, value })))
  }
  await store.close()
}

/** Everything a store holds, from an opening that also checks all of it. */
export async function contentsOf(path: string, options: OpenOptions = {}): Promise<string[]> {
  const store = await open(path, { ...options, readOnly: true })
  try {
    const lines: string[] = []
    for await (const [key, value] of store.entries()) {
      lines.push(`${key.toString('hex')}=${value.toString('hex')}`)
    }
    expect(await store.verify('comprehensive')).toEqual([])
    return lines
  } finally {
    await store.close()
  }
}

export function linesOf(entries: Entries): string[] {
  return entries.map(([key, value]) => `${key.toString('hex')}=${value.toString('hex')}`)
}

/** What a migration copies into what. */
export const migrated = { from: 'store', to: 'store' } as const

/** Copies in memory in small batches. */
export function copy(
  vfs: Vfs,
  backend: BackendName,
  options: MigrateOptions = {}
): Promise<TransferReport> {
  const given = { ...inMemory(vfs), backend, ...options }
  return copyBetween(migrated, source, destination, given, smallBounds)
}
