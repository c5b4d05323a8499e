import fs from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { afterEach, expect } from 'vitest'
import { SeededRandom } from '../../dist/base/random.js'
import { KintsugiError, open, type OpenOptions } from '../../dist/index.js'
import type { Finding } from '../../dist/index.js'
import { MemVfs } from '../../dist/vfs/mem-vfs.js'
import { tinyOptions } from './backends.js'
import { DiskVfs } from './disk-vfs.js'
import { TestClock } from './test-clock.js'
import { testedBackend } from './tested-backend.js'

/** The tested backend with everything small. */
export const tiny = { ...tinyOptions, backend: testedBackend } as const satisfies OpenOptions

export type AnyStore = Awaited<ReturnType<typeof open>>

export const storePath = '/store'

/** What an opening needs beside its options to be the same each time. */
export function deterministic(vfs: MemVfs, seed = 1) {
  return { vfs, clock: new TestClock(), random: new SeededRandom(seed) } as const
}

interface MemoryOptions extends OpenOptions {
  expectDamage?: boolean
  path?: string
}

type EncodingsOf<O> = (O extends { keyEncoding: 'utf8' } ? { keyEncoding: 'utf8' } : object) &
  (O extends { valueEncoding: 'utf8' } ? { valueEncoding: 'utf8' } : object)

interface Opened {
  readonly store: AnyStore
  readonly expectDamage: boolean
}

/**
 * Stores for one test file. Whatever a test leaves open gets a full structural check and is closed;
 * when the test failed, the directory is kept and named.
 */
export function useStores() {
  let opened: Opened[] = []
  const memories = new Set<MemVfs>()
  const directories: string[] = []

  afterEach(async ({ task }) => {
    const failed = task.result?.state === 'fail'
    try {
      for (const { store, expectDamage } of opened.splice(0)) {
        if (!store.isOpen) continue
        const findings = await store.verify('comprehensive')
        if (!failed && !expectDamage) expect(findings).toEqual([])
        await store.close()
      }
    } finally {
      if (failed) for (const vfs of memories) console.log(`files kept in ${keepMemory(vfs)}`)
      for (const directory of directories.splice(0)) {
        if (failed) console.log(`files kept in ${directory}`)
        else fs.rmSync(directory, { recursive: true, force: true })
      }
      memories.clear()
      opened = []
    }
  })

  /** LevelDB opens real files: where it is tested, what is in memory elsewhere is on the disk. */
  const newFiles = (): MemVfs => {
    if (testedBackend !== 'level') return new MemVfs()
    const disk = new DiskVfs()
    directories.push(disk.root)
    // Tests that cut the power or look at the medium do not run there.
    return disk.vfs as unknown as MemVfs
  }

  const track = <S extends AnyStore>(store: S, expectDamage: boolean): S => {
    opened.push({ store, expectDamage })
    return store
  }

  return {
    /** A store in memory with a clock of its own; pass the same `vfs` to open it again. */
    async memory<const O extends MemoryOptions = Record<never, never>>(options?: O) {
      const { expectDamage = false, path = storePath, ...rest }: MemoryOptions = options ?? {}
      const vfs = (rest.vfs as MemVfs | undefined) ?? newFiles()
      const clock = (rest.clock as TestClock | undefined) ?? new TestClock()
      if (vfs instanceof MemVfs) memories.add(vfs)
      const given = { random: new SeededRandom(7), ...tiny, ...rest, vfs, clock }
      // Only the encodings decide the type of the store.
      const store = await open(path, given as unknown as EncodingsOf<O>)
      track(store as unknown as AnyStore, expectDamage)
      return { store, vfs, clock }
    },

    /** A fresh directory on disk, removed when the test has passed. */
    directory(): string {
      const directory = fs.mkdtempSync(join(tmpdir(), 'kintsugi-test-'))
      directories.push(directory)
      return directory
    },

    /** A store on disk. */
    async disk<const O extends OpenOptions>(path: string, options?: O) {
      const store = await open(path, { backend: testedBackend, ...options } as O)
      track(store as unknown as AnyStore, false)
      return store
    },

    /** Has a store that was opened otherwise checked and closed as well. */
    track
  }
}

/** Writes the files of a file system in memory to a directory of the machine. */
export function keepMemory(vfs: MemVfs): string {
  const directory = fs.mkdtempSync(join(tmpdir(), 'kintsugi-kept-'))
  for (const path of vfs.medium.paths()) {
    const target = join(directory, path)
    fs.mkdirSync(dirname(target), { recursive: true })
    fs.writeFileSync(target, vfs.medium.read(path))
  }
  return directory
}

/** The error a call fails with, synchronously or not; a call that succeeds is the test's failure. */
export async function failure(call: () => unknown): Promise<KintsugiError> {
  let result: unknown
  try {
    result = await call()
  } catch (error) {
    expect(error).toBeInstanceOf(KintsugiError)
    return error as KintsugiError
  }
  throw new Error(`expected an error, got ${String(result)}`)
}

/** The code of the error a call fails with. */
export async function failureCode(call: () => unknown): Promise<string> {
  return (await failure(call)).code
}

/** LevelDB reads ranges in another thread, so its iterators cannot wait for the disk. */
const iteratorsWait = testedBackend !== 'level'

type AnyIterator<T> = Iterable<T> & AsyncIterable<T>

/** What is left of an iterator, by a loop that waits for the disk where the backend has that. */
export async function allOf<T>(iterator: AnyIterator<T>): Promise<T[]> {
  if (iteratorsWait) return [...iterator]
  const all: T[] = []
  for await (const one of iterator) all.push(one)
  return all
}

/** The next of an iterator, in the same way. */
export async function nextOf<T>(
  iterator: Iterator<T> & { nextv(size: number): Promise<T[]> }
): Promise<T | undefined> {
  if (iteratorsWait) return iterator.next().value as T | undefined
  return (await iterator.nextv(1))[0]
}

/** All entries as text. */
export function entriesOf(store: Pick<AnyStore, 'entries'>): [string, string][] {
  return Array.from(store.entries(), ([key, value]) => [key.toString(), value.toString()])
}

/** The same, by `allOf`. */
export async function allEntriesOf(store: Pick<AnyStore, 'entries'>): Promise<[string, string][]> {
  const all = await allOf<[Buffer, Buffer]>(store.entries())
  return all.map(([key, value]) => [key.toString(), value.toString()])
}

/** Sizes and bytes of every file, to see that nothing was changed. */
export function fingerprint(vfs: MemVfs): Record<string, string> {
  return Object.fromEntries(
    vfs.medium.paths().map((path) => [path, vfs.medium.read(path).toString('base64')])
  )
}

export function describeFindings(findings: readonly Finding[]): string {
  return findings.map(({ kind, path, message }) => `${kind} ${path}: ${message}`).join('\n')
}
