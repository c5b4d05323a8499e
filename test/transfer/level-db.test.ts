import { createHash } from 'node:crypto'
import fs from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { ClassicLevel } from 'classic-level'
import { beforeEach, describe, expect, it } from 'vitest'
import { readCurrentManifest } from '../../dist/backends/level/files/current-manifest.js'
import { parseFileName } from '../../dist/backends/level/files/file-names.js'
import { backendNames } from '../../dist/backends/registry.js'
import { exportLevelDb, importLevelDb, migrate, open } from '../../dist/index.js'
import { copyBetween } from '../../dist/transfer/migrate.js'
import { MemVfs } from '../../dist/vfs/mem-vfs.js'
import { NodeVfs } from '../../dist/vfs/node-vfs.js'
import { failure, failureCode, useStores } from '../helpers/store.js'
import { contentsOf, linesOf, makeStore, someEntries, type Entries } from './stores.js'

const stores = useStores()
const bounds = { bytes: 4000, entries: 20 }
const sized: Entries = [
  ...someEntries(400, 8),
  [Buffer.alloc(65_534, 254), Buffer.alloc(0)],
  [Buffer.alloc(65_535, 254), Buffer.alloc(1024 * 1024, 9)]
]

let directory: string
let plain: string
let store: string
beforeEach(() => {
  directory = stores.directory()
  plain = join(directory, 'plain')
  store = join(directory, 'store')
})

async function withLevelDb<T>(
  path: string,
  work: (db: ClassicLevel<Buffer, Buffer>) => Promise<T>
): Promise<T> {
  const db = new ClassicLevel<Buffer, Buffer>(path, {
    keyEncoding: 'buffer',
    valueEncoding: 'buffer',
    writeBufferSize: 64 * 1024
  })
  await db.open()
  try {
    return await work(db)
  } finally {
    await db.close()
  }
}

/** A LevelDB database with tables and a log, in which these entries are what is left. */
async function makeLevelDb(path: string, entries: Entries = sized): Promise<void> {
  await withLevelDb(path, async (db) => {
    for (const [key] of entries) await db.put(key, Buffer.from('replaced later'))
    for (let i = 0; i < 300; i++) await db.put(Buffer.from(`gone${i}`), Buffer.alloc(500, i))
    await db.compactRange(Buffer.alloc(0), Buffer.alloc(10, 255))
    for (let i = 0; i < 300; i++) await db.del(Buffer.from(`gone${i}`))
    for (const [key, value] of entries) await db.put(key, value)
  })
}

async function levelDbLines(path: string): Promise<string[]> {
  return withLevelDb(path, async (db) => {
    const all = await db.iterator().all()
    return all.map(([key, value]) => `${key.toString('hex')}=${value.toString('hex')}`)
  })
}

/** Names, bytes and times of all files. */
function fingerprint(path: string): string[] {
  return fs.readdirSync(path).map((name) => {
    const file = join(path, name)
    const hash = createHash('sha256').update(fs.readFileSync(file)).digest('hex')
    return `${name} ${hash} ${fs.statSync(file).mtimeMs}`
  })
}

/** What shadows there are, of this process or others. */
function shadows(): Set<string> {
  const names = fs.readdirSync(tmpdir()).filter((name) => /^kintsugi-shadow-\w{6}$/.test(name))
  return new Set(names.filter((name) => fs.existsSync(join(tmpdir(), name, 'CURRENT'))))
}

/** Options that end a copy after so many entries. */
const imported = { from: 'leveldb', to: 'store' } as const
const exported = { from: 'store', to: 'leveldb' } as const

function endingAfter(entries: number) {
  const controller = new AbortController()
  const onProgress = (done: number): void => {
    if (done >= entries) controller.abort()
  }
  return { signal: controller.signal, onProgress }
}

async function interruptedExport(path = store): Promise<void> {
  const call = () => copyBetween(exported, path, plain, endingAfter(150), bounds)
  expect(await failureCode(call)).toBe('KINTSUGI_ABORTED')
}

/** Where an unfinished export lies. */
function partOf(path: string): string {
  return join(
    path,
    fs.readdirSync(path).find((name) => /^UNFINISHED-COPY\.\w{32}$/.test(name))!
  )
}

describe.each(backendNames)('a plain LevelDB database and a store with backend %s', (backend) => {
  it('give the same contents when the one is imported into the other', async () => {
    await makeLevelDb(plain)
    const before = fingerprint(plain)
    const report = await importLevelDb(plain, store, { backend })
    expect(report).toMatchObject({ source: plain, destination: store, entries: sized.length })
    expect(await contentsOf(store)).toEqual(linesOf(sized))
    expect(fingerprint(plain)).toEqual(before)
  })

  it('give the same contents when the other is exported into the one', async () => {
    await makeStore(store, sized, { backend })
    const report = await exportLevelDb(store, plain)
    expect(report).toMatchObject({ source: store, destination: plain, entries: sized.length })
    expect(fs.readdirSync(plain).filter((name) => name.startsWith('UNFINISHED'))).toEqual([])
    expect(await levelDbLines(plain)).toEqual(linesOf(sized))
  })

  it('give the same digest there and back, and so does a migration', async () => {
    await makeStore(store, sized, { backend })
    const { digest } = await exportLevelDb(store, plain)
    const back = await importLevelDb(plain, join(directory, 'back'), { backend })
    const migrated = await migrate(store, join(directory, 'migrated'), { backend: 'btree' })
    expect([back.digest, migrated.digest]).toEqual([digest, digest])
  })
})

describe('an import from LevelDB', () => {
  it('takes an empty database', async () => {
    await makeLevelDb(plain, [])
    expect(await importLevelDb(plain, store)).toMatchObject({ entries: 0 })
    expect(await contentsOf(store)).toEqual([])
  })

  it('leaves no copy of the files behind, done or failed', async () => {
    await makeLevelDb(plain)
    const before = shadows()
    await importLevelDb(plain, store)
    const call = () => copyBetween(imported, plain, join(directory, 'b'), endingAfter(50), bounds)
    expect(await failureCode(call)).toBe('KINTSUGI_ABORTED')
    const own = [...shadows()].filter((name) => !before.has(name))
    expect(own.filter((name) => linksTo(name, plain))).toEqual([])
  })

  // LevelDB was killed while it wrote a table: the next one that it makes has the same name, and
  // what opened the database by links to its tables wrote over the file.
  it('leaves a table alone that a dead process had begun', async () => {
    await makeLevelDb(plain)
    const highest = Math.max(...fs.readdirSync(plain).map((name) => Number(/\d+/.exec(name) ?? 0)))
    for (let i = 1; i <= 10; i++) {
      fs.writeFileSync(join(plain, `${String(highest + i).padStart(6, '0')}.ldb`), 'half a table')
    }
    const before = fingerprint(plain)
    await importLevelDb(plain, store)
    expect(fingerprint(plain)).toEqual(before)
    expect(await contentsOf(store)).toEqual(linesOf(sized))
  })

  it('goes on where it was interrupted', async () => {
    await makeLevelDb(plain)
    const call = () => copyBetween(imported, plain, store, endingAfter(150), bounds)
    expect(await failureCode(call)).toBe('KINTSUGI_ABORTED')
    expect(await failureCode(() => open(store))).toBe('KINTSUGI_UNFINISHED_COPY')
    const report = await importLevelDb(plain, store)
    expect(report.resumed).toBe(true)
    expect(report.entriesWritten).toBeLessThan(sized.length - 140)
    expect(await contentsOf(store)).toEqual(linesOf(sized))
  })

  it('can be ended by its signal while it checks the files', async () => {
    await makeLevelDb(plain)
    const controller = new AbortController()
    const call = importLevelDb(plain, store, { signal: controller.signal })
    controller.abort()
    expect(await failureCode(() => call)).toBe('KINTSUGI_ABORTED')
    expect(fs.existsSync(store)).toBe(false)
  })

  it('begins anew when the database was written to meanwhile', async () => {
    await makeLevelDb(plain)
    const call = () => copyBetween(imported, plain, store, endingAfter(150), bounds)
    expect(await failureCode(call)).toBe('KINTSUGI_ABORTED')
    await withLevelDb(plain, (db) => db.put(Buffer.from('key00000002'), Buffer.from('new')))
    expect(await importLevelDb(plain, store)).toMatchObject({ resumed: false })
    expect(await contentsOf(store)).toEqual(await levelDbLines(plain))
  })

  it('fails when the database is written to while it is copied', async () => {
    await makeLevelDb(plain)
    const db = new ClassicLevel(plain)
    await db.open()
    let writing: Promise<void> | undefined
    const call = () =>
      importLevelDb(plain, store, { onProgress: () => void (writing ??= db.put('k', 'v')) })
    const error = await failure(call)
    expect([error.code, error.facts.path]).toEqual(['KINTSUGI_LOCKED', plain])
    await writing
    await db.close()
    expect(await importLevelDb(plain, store)).toMatchObject({ resumed: false })
    expect(await contentsOf(store)).toEqual(await levelDbLines(plain))
  })

  it('refuses keys that are too long for a store, by name of the error', async () => {
    await makeLevelDb(plain, [[Buffer.alloc(65_536, 97), Buffer.from('v')]])
    expect(await failureCode(() => importLevelDb(plain, store))).toBe('KINTSUGI_KEY_TOO_LARGE')
    expect(await failureCode(() => open(store))).toBe('KINTSUGI_UNFINISHED_COPY')
  })

  it('fails once, and not as a rejection that nobody handles, in the middle of many batches', async () => {
    const fine = someEntries(400, 8).filter(([key]) => key.length > 0)
    await makeLevelDb(plain, [[Buffer.alloc(65_536, 0), Buffer.from('v')], ...fine])
    const call = () => copyBetween(imported, plain, store, {}, { bytes: 100, entries: 1 })
    expect(await failureCode(call)).toBe('KINTSUGI_KEY_TOO_LARGE')
  })

  it('reads files that nobody may write to', async () => {
    await makeLevelDb(plain)
    const lines = await levelDbLines(plain)
    for (const name of fs.readdirSync(plain)) fs.chmodSync(join(plain, name), 0o444)
    const modes: number[] = []
    const vfs = new NodeVfs()
    const make = vfs.shadow.bind(vfs)
    vfs.shadow = async (...parameters) => {
      const shadow = await make(...parameters)
      modes.push(fs.statSync(join(shadow, 'LOCK')).mode & 0o200)
      return shadow
    }
    await importLevelDb(plain, store, { vfs })
    expect(modes.every((mode) => mode !== 0) && modes.length > 0).toBe(true)
    expect(await contentsOf(store)).toEqual(lines)
  })

  it('is not copied into itself, by whatever name', async () => {
    await makeLevelDb(plain)
    const before = fingerprint(plain)
    const link = join(directory, 'link')
    fs.symlinkSync(plain, link)
    for (const path of [join(plain, 'inside'), join(link, 'inside')]) {
      expect(await failureCode(() => importLevelDb(plain, path))).toBe('KINTSUGI_INVALID_ARGUMENT')
    }
    expect(fingerprint(plain)).toEqual(before)
  })

  it('refuses what is not a LevelDB database', async () => {
    const other = join(directory, 'other')
    expect(await failureCode(() => importLevelDb(other, store))).toBe('KINTSUGI_STORE_MISSING')
    fs.mkdirSync(other)
    expect(await failureCode(() => importLevelDb(other, store))).toBe('KINTSUGI_FOREIGN_DIRECTORY')
    await makeStore(join(directory, 'a'), [], {})
    const error = await failure(() => importLevelDb(join(directory, 'a'), store))
    expect(error.code).toBe('KINTSUGI_FOREIGN_DIRECTORY')
    expect(error.message).toContain('migrate')
    const level = join(directory, 'level')
    await makeStore(level, [], { backend: 'level' })
    const inside = await failure(() => importLevelDb(join(level, 'level-1/db'), store))
    expect([inside.code, inside.message]).toEqual([
      'KINTSUGI_FOREIGN_DIRECTORY',
      expect.stringContaining('migrate')
    ])
    expect(fs.existsSync(store)).toBe(false)
    const vfs = new MemVfs()
    vfs.mkdirSync('/a')
    for (const name of ['CURRENT', 'MANIFEST-000001']) {
      vfs.openSync(`/a/${name}`, 'create').closeSync()
    }
    const inMemory = () => importLevelDb('/a', '/b', { vfs })
    expect(['KINTSUGI_NOT_SUPPORTED', 'KINTSUGI_CORRUPTION']).toContain(await failureCode(inMemory))
  })
})

function linksTo(shadow: string, target: string): boolean {
  const path = join(tmpdir(), shadow)
  return fs.readdirSync(path).some((name) => {
    const file = join(path, name)
    return fs.lstatSync(file).isSymbolicLink() && fs.readlinkSync(file).startsWith(target)
  })
}

describe('a damaged LevelDB database', () => {
  const damage = (name: string, change: (bytes: Buffer) => Buffer): string => {
    const path = join(plain, name)
    fs.writeFileSync(path, change(fs.readFileSync(path)))
    return path
  }
  const flipped = (at: (bytes: Buffer) => number) => (bytes: Buffer) => {
    bytes[at(bytes)]! ^= 4
    return bytes
  }
  /** A file of that kind that LevelDB needs; others may lie beside it. */
  const nameOf = async (pattern: RegExp): Promise<string> => {
    const names = fs.readdirSync(plain)
    const { state } = await readCurrentManifest(new NodeVfs(), plain, names, [])
    const live = new Set(state!.tables.map(({ number }) => number))
    return names.findLast((name) => {
      const file = parseFileName(name)
      return pattern.test(name) && (file?.kind !== 'table' || live.has(file.number))
    })!
  }

  it.each([
    ['a block of a table', /\.ldb$/, flipped((bytes) => bytes.length >> 1)],
    ['the footer of a table', /\.ldb$/, flipped((bytes) => bytes.length - 3)],
    ['the manifest', /^MANIFEST/, flipped(() => 20)],
    ['CURRENT', /^CURRENT$/, () => Buffer.from('nonsense\n')],
    ['the middle of the log', /\.log$/, flipped((bytes) => bytes.length >> 1)],
    ['zeros in the middle of the log', /\.log$/, (bytes: Buffer) => bytes.fill(0, 40_000, 50_000)]
  ])('is refused with what is wrong: %s', async (_, pattern, change) => {
    await makeLevelDb(plain)
    const path = damage(await nameOf(pattern), change)
    const before = fingerprint(plain)
    const error = await failure(() => importLevelDb(plain, store))
    expect([error.code, error.facts.path]).toEqual(['KINTSUGI_CORRUPTION', path])
    expect(error.message).not.toContain('kintsugi repair')
    expect(fs.existsSync(store)).toBe(false)
    expect(fingerprint(plain)).toEqual(before)
  })

  it('is refused when a table is missing', async () => {
    await makeLevelDb(plain)
    const name = await nameOf(/\.ldb$/)
    fs.rmSync(join(plain, name))
    const error = await failure(() => importLevelDb(plain, store))
    expect([error.code, error.facts.path]).toEqual(['KINTSUGI_CORRUPTION', join(plain, name)])
  })

  it('may have a log that ends within a record, as after a power cut', async () => {
    await makeLevelDb(plain)
    const name = await nameOf(/\.log$/)
    damage(name, (bytes) => bytes.subarray(0, bytes.length - 5))
    const copied = join(directory, 'copied')
    fs.cpSync(plain, copied, { recursive: true })
    await importLevelDb(plain, store)
    expect(await contentsOf(store)).toEqual(await levelDbLines(copied))
  })
})

describe('an export to LevelDB', () => {
  beforeEach(async () => {
    await makeStore(store, sized, { backend: 'lsm' })
  })

  it.each([
    ['a LevelDB database', 'KINTSUGI_STORE_EXISTS', () => makeLevelDb(plain, [])],
    ['a store', 'KINTSUGI_STORE_EXISTS', () => makeStore(plain, [], {})],
    ['somebody’s files', 'KINTSUGI_FOREIGN_DIRECTORY', async () => diary(plain)]
  ])('refuses a destination that is taken: by %s', async (_, code, make) => {
    await make()
    const before = fs.readdirSync(plain)
    expect(await failureCode(() => exportLevelDb(store, plain))).toBe(code)
    expect(fs.readdirSync(plain)).toEqual(before)
  })

  it('marks what is unfinished, and keeps it where LevelDB does not look for it', async () => {
    await interruptedExport()
    expect(fs.readdirSync(plain)).toContain('UNFINISHED-COPY')
    for (const call of [
      () => open(plain),
      () => importLevelDb(plain, join(directory, 'other')),
      () => migrate(plain, join(directory, 'other'))
    ]) {
      expect(await failureCode(call)).toBe('KINTSUGI_UNFINISHED_COPY')
    }
    expect((await levelDbLines(partOf(plain))).length).toBeLessThan(sized.length)
  })

  it('goes on where it was interrupted', async () => {
    await interruptedExport()
    const report = await exportLevelDb(store, plain)
    expect(report.resumed).toBe(true)
    expect(report.entriesWritten).toBeLessThan(sized.length - 140)
    expect(await levelDbLines(plain)).toEqual(linesOf(sized))
  })

  it('begins anew for another source, and removes LevelDB’s files alone', async () => {
    await interruptedExport()
    diary(plain)
    const others = someEntries(30, 9)
    const other = join(directory, 'other')
    await makeStore(other, others, {})
    expect(await exportLevelDb(other, plain)).toMatchObject({ resumed: false, entries: 30 })
    expect(await levelDbLines(plain)).toEqual(linesOf(others))
    expect(fs.readdirSync(plain)).toContain('diary.txt')
  })

  it('takes the place of an unfinished migration, and the other way round', async () => {
    const backend = 'btree'
    await interruptedExport()
    expect(await migrate(store, plain, { backend })).toMatchObject({ resumed: false })
    expect(await contentsOf(plain)).toEqual(linesOf(sized))
    expect(fs.readdirSync(plain).filter((name) => /MANIFEST|\.ldb$/.test(name))).toEqual([])
    const third = join(directory, 'third')
    const call = () => migrate(store, third, { backend, ...endingAfter(1) })
    expect(await failureCode(call)).toBe('KINTSUGI_ABORTED')
    expect(await exportLevelDb(store, third)).toMatchObject({ resumed: false })
    expect(await levelDbLines(third)).toEqual(linesOf(sized))
    expect(fs.readdirSync(third)).not.toContain('wal')
  })

  it('finds out at the end that something is missing, and begins anew then', async () => {
    await interruptedExport()
    await withLevelDb(partOf(plain), (db) => db.del(Buffer.from('key00000009')))
    const error = await failure(() => exportLevelDb(store, plain))
    expect(error.code).toBe('KINTSUGI_CORRUPTION')
    expect(Buffer.from(error.facts.lowKey!).toString()).toBe('key00000009')
    expect(fs.readdirSync(plain)).toContain('UNFINISHED-COPY')
    expect(await exportLevelDb(store, plain)).toMatchObject({ resumed: false })
    expect(await levelDbLines(plain)).toEqual(linesOf(sized))
  })

  /** Ends an export at the n-th change of names after it was found whole; false: it had fewer. */
  async function endedWhilePublishing(changes: number): Promise<boolean> {
    const vfs = new NodeVfs()
    const rename = vfs.rename.bind(vfs)
    const unlink = vfs.unlink.bind(vfs)
    const rmdirSync = vfs.rmdirSync.bind(vfs)
    let left: number | undefined
    const count = (path: string): void => {
      if (left === undefined || !path.startsWith(plain)) return
      if (left-- === 0) throw new Error('ended')
    }
    vfs.rename = async (from, to) => {
      if (from.includes('UNFINISHED-COPY.')) count(from)
      await rename(from, to)
      const isMarker = to.endsWith('UNFINISHED-COPY')
      if (isMarker && fs.readFileSync(to, 'latin1').includes('publishing')) left = changes
    }
    vfs.unlink = async (path) => {
      count(path)
      await unlink(path)
    }
    vfs.rmdirSync = (path) => {
      count(path)
      rmdirSync(path)
    }
    try {
      await exportLevelDb(store, plain, { vfs })
      return false
    } catch (error) {
      expect((error as Error).message).toBe('ended')
      return true
    }
  }

  it('goes on wherever it ends while a whole database is moved to its place', async () => {
    let ends = 0
    while (await endedWhilePublishing(ends)) {
      ends++
      expect(await failureCode(() => open(plain))).toBe('KINTSUGI_UNFINISHED_COPY')
      const report = await exportLevelDb(store, plain)
      expect(report).toMatchObject({ resumed: true, entriesWritten: 0, entries: sized.length })
      expect(await levelDbLines(plain)).toEqual(linesOf(sized))
      expect(fs.readdirSync(plain).filter((name) => name.startsWith('UNFINISHED'))).toEqual([])
      fs.rmSync(plain, { recursive: true })
    }
    expect(ends).toBeGreaterThan(5)
  })

  it('keeps a whole database whose moving was interrupted, whatever is copied next', async () => {
    const other = join(directory, 'other')
    await makeStore(other, [], {})
    for (const next of [() => exportLevelDb(other, plain), () => migrate(store, plain)]) {
      expect(await endedWhilePublishing(2)).toBe(true)
      expect(await failureCode(next)).toBe('KINTSUGI_STORE_EXISTS')
      expect(await levelDbLines(plain)).toEqual(linesOf(sized))
      fs.rmSync(plain, { recursive: true })
    }
  })

  it('replaces nothing that came into the place of a whole database meanwhile', async () => {
    expect(await endedWhilePublishing(1)).toBe(true)
    fs.writeFileSync(join(plain, 'CURRENT'), 'of somebody else')
    const error = await failure(() => exportLevelDb(store, plain))
    expect([error.code, error.facts.path]).toEqual([
      'KINTSUGI_FOREIGN_DIRECTORY',
      join(plain, 'CURRENT')
    ])
    expect(fs.readFileSync(join(plain, 'CURRENT'), 'utf8')).toBe('of somebody else')
    fs.unlinkSync(join(plain, 'CURRENT'))
    expect(await exportLevelDb(store, plain)).toMatchObject({ resumed: true })
    expect(await levelDbLines(plain)).toEqual(linesOf(sized))
  })

  it('refuses options that LevelDB does not have', async () => {
    const error = await failure(() => exportLevelDb(store, plain, { pageBytes: 4096 } as object))
    expect([error.code, error.facts.option]).toEqual(['KINTSUGI_INVALID_OPTION', 'pageBytes'])
  })
})

function diary(path: string): void {
  fs.mkdirSync(path, { recursive: true })
  fs.writeFileSync(join(path, 'diary.txt'), 'mine')
}
