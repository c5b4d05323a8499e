import assert from 'node:assert/strict'
import fs from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { isDeepStrictEqual } from 'node:util'
import { SeededRandom } from '../../../dist/base/random.js'
import { open, repair, type RepairReport } from '../../../dist/index.js'
import { tinyOptions } from '../../helpers/backends.js'
import { compareWithHistory, type Contents, type Differences } from '../../helpers/repair-losses.js'

const options = { ...tinyOptions, backend: 'level' } as const

export type Files = Map<string, Buffer>

/** A store at rest, with what it holds and ever held. */
export interface Specimen extends Contents {
  readonly files: ReadonlyMap<string, Buffer>
}

export interface SpecimenShape {
  readonly seed: number
  readonly commits: number
  readonly closed: boolean
  readonly compression?: 'none' | 'lz4'
  /** Keeps the whole of the log, from the first commit on. */
  readonly keepsLog?: boolean
}

/** Runs something in a directory of its own, which is removed afterwards. */
export async function withDirectory<T>(work: (directory: string) => Promise<T>): Promise<T> {
  const directory = fs.mkdtempSync(join(tmpdir(), 'kintsugi-level-'))
  try {
    return await work(directory)
  } finally {
    fs.rmSync(directory, { recursive: true, force: true })
  }
}

/** Overwrites, removed keys, removed ranges, large values; several tables, and commits in the log. */
export function makeSpecimen(shape: SpecimenShape): Promise<Specimen> {
  return withDirectory(async (directory) => {
    const random = new SeededRandom(shape.seed)
    const { compression = 'none', keepsLog = false } = shape
    const store = await open(directory, {
      ...options,
      compression,
      ...(keepsLog && { walSegmentBytes: 64 << 20 })
    })
    const entries = new Map<string, Buffer>()
    const history = new Map<string, Buffer[]>()
    for (let i = 0; i < shape.commits; i++) {
      const kind = random.below(30)
      if (kind === 0) {
        const low = random.below(1190)
        const [gte, lt] = [keyOf(low), keyOf(low + 10)]
        await store.clear({ gte, lt })
        for (const each of entries.keys()) if (each >= gte && each < lt) entries.delete(each)
        continue
      }
      const batch = Array.from({ length: 8 }, () => {
        const key = keyOf(random.below(1200))
        if (random.chance(1, 6)) {
          entries.delete(key)
          return { type: 'del' as const, key }
        }
        const value = Buffer.alloc(random.chance(1, 400) ? 100 << 10 : 20 + random.below(300))
        random.fill(value)
        entries.set(key, value)
        history.set(key, [...(history.get(key) ?? []), value])
        return { type: 'put' as const, key, value }
      })
      await store.batch(batch)
      if (i % 40 === 39) await store.persist()
    }
    if (shape.closed) await store.close()
    const files = shape.closed ? readFiles(directory) : filesAtRest(directory)
    // A killed process leaves it behind where there is no addon; the error says to delete it.
    files.delete('LOCK.owner')
    if (!shape.closed) await store.close()
    return { files, entries, history }
  })
}

export function keyOf(index: number): string {
  return `key${String(index).padStart(4, '0')}`
}

export function readFiles(directory: string): Files {
  const files: Files = new Map()
  for (const entry of fs.readdirSync(directory, { recursive: true, withFileTypes: true })) {
    if (!entry.isFile()) continue
    const path = join(entry.parentPath, entry.name)
    files.set(path.slice(directory.length + 1), fs.readFileSync(path))
  }
  return files
}

/** The files of an open store, read again while LevelDB is changing some of them. */
function filesAtRest(directory: string): Files {
  for (let attempt = 0; attempt < 100; attempt++) {
    try {
      const files = readFiles(directory)
      if (isDeepStrictEqual(files, readFiles(directory))) return files
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error
    }
  }
  throw new Error(`the files in ${directory} do not come to rest`)
}

export function writeFiles(directory: string, files: ReadonlyMap<string, Buffer>): void {
  for (const [name, bytes] of files) {
    const path = join(directory, name)
    fs.mkdirSync(join(path, '..'), { recursive: true })
    fs.writeFileSync(path, bytes)
  }
}

export function namesOf(files: ReadonlyMap<string, Buffer>, pattern: RegExp): string[] {
  return [...files.keys()].filter((name) => pattern.test(name))
}

export interface Outcome extends Differences {
  readonly report: RepairReport
  /** The store said it was damaged, before it was repaired. */
  readonly isRefused: boolean
}

/**
 * Repairs a damaged copy, dry first, and holds the result against what was in the store: what is
 * not as it was has to lie in a range that the report names.
 */
export function repairAndJudge(specimen: Specimen, damaged: Files): Promise<Outcome> {
  return withDirectory(async (directory) => {
    writeFiles(directory, damaged)
    const isRefused = await isRefusedAt(directory)
    for (const name of readFiles(directory).keys())
      if (!damaged.has(name)) fs.rmSync(join(directory, name))
    writeFiles(directory, damaged)
    const before = pictureOf(directory)
    const dry = await repair(directory, { dryRun: true })
    assert.deepEqual(pictureOf(directory), before, 'a dry run has changed something')
    const report = await repair(directory)
    assert.deepEqual(report.lost, dry.lost, 'the dry run had told of other losses')
    assert.equal(report.entries, dry.entries)
    if (report.rebuilt) {
      for (const [name, bytes] of damaged) {
        if (!name.startsWith('level-1/')) continue
        const kept = fs.readFileSync(join(report.quarantine!, name.slice('level-1/'.length)))
        assert.ok(kept.equals(bytes), `${name} is not in quarantine as it was`)
      }
    }
    const store = await open(directory, options)
    try {
      const findings = await store.verify('comprehensive')
      assert.deepEqual(
        findings.filter(({ severity }) => severity === 'error'),
        []
      )
      const found = new Map<string, Buffer>()
      for await (const [key, value] of store.entries()) found.set(key.toString(), value)
      assert.equal(report.entries, found.size, 'the report counts other entries')
      return { report, isRefused, ...compareWithHistory(specimen, found, report) }
    } finally {
      await store.close()
    }
  })
}

/** Whether it opens, or fails as a damaged store does. */
async function isRefusedAt(directory: string): Promise<boolean> {
  try {
    await (await open(directory, options)).close()
    return false
  } catch (error) {
    assert.match(String((error as { code?: string }).code), /CORRUPTION/)
    return true
  }
}

function pictureOf(directory: string): Map<string, string> {
  const files = readFiles(directory)
  // What a lock's owner writes about itself is no part of the store.
  files.delete('LOCK')
  return new Map([...files].map(([name, bytes]) => [name, bytes.toString('latin1')]))
}
