import { beforeAll, describe, expect, it } from 'vitest'
import { LevelEntries } from '../../../../dist/backends/level/files/leveldb-entries.js'
import { findSources } from '../../../../dist/backends/level/files/salvage-sources.js'
import { SeededRandom } from '../../../../dist/base/random.js'
import type { KeySpan } from '../../../../dist/memtable/key-span.js'
import {
  changed,
  directory,
  flipped,
  type LevelDirectory,
  makeLevelDirectory,
  namesOf,
  smallShape,
  vfsOf
} from './level-directory.js'

type Files = ReadonlyMap<string, Buffer>

const anything = (): boolean => true

interface Salvaged {
  readonly entries: Map<string, Buffer>
  readonly lost: readonly KeySpan[]
  readonly stale: readonly KeySpan[]
  readonly logLosses: number
  readonly unknown: string | undefined
}

async function salvage(files: Files, original: Files = files): Promise<Salvaged> {
  const synced = [...original]
    .filter(([name]) => /\.log$|^MANIFEST/.test(name))
    .map(([name, { length }]) => ({ name, sizeBytes: length }))
  const vfs = vfsOf(files)
  const sources = (await findSources(vfs, directory, synced))!
  const read = new LevelEntries(vfs, sources.tables, sources.logs.entries, anything)
  const entries = new Map<string, Buffer>()
  let last: Buffer | undefined
  await read.start()
  for (;;) {
    const entry = await read.next()
    if (entry === undefined) break
    if (last) expect(Buffer.compare(last, entry.key)).toBeLessThan(0)
    last = entry.key
    entries.set(entry.key.toString('latin1', 1), entry.value)
  }
  await read.close()
  const logLosses = sources.logs.losses.length
  return { entries, lost: read.losses, stale: read.stale, logLosses, unknown: sources.unknown }
}

function isIn(key: string, spans: readonly KeySpan[]): boolean {
  const bytes = Buffer.from(key, 'latin1')
  return spans.some(
    ({ low, high }) =>
      Buffer.compare(low, bytes) <= 0 && (high === undefined || Buffer.compare(bytes, high) < 0)
  )
}

/** Every difference from what was written has to be named. Returns how many there are. */
function judge(
  { entries, history }: LevelDirectory,
  { entries: found, lost, stale, logLosses, unknown }: Salvaged,
  what: string
): { missing: number; stale: number } {
  const isAnything = logLosses > 0 || unknown !== undefined
  const counts = { missing: 0, stale: 0 }
  for (const key of new Set([...history.keys(), ...found.keys()])) {
    const [expected, actual] = [entries.get(key), found.get(key)]
    if (actual === undefined ? expected === undefined : expected?.equals(actual)) continue
    if (actual === undefined) {
      counts.missing++
      expect(isAnything || isIn(key, lost), `${what}: ${key} is missing in silence`).toBe(true)
      continue
    }
    counts.stale++
    const isOld = (history.get(key) ?? []).some((value) => value.equals(actual))
    expect(isOld, `${what}: ${key} has a value that it never had`).toBe(true)
    expect(isAnything || isIn(key, stale), `${what}: ${key} is stale in silence`).toBe(true)
  }
  return counts
}

describe('the entries of LevelDB’s files', () => {
  let raw: LevelDirectory
  let packed: LevelDirectory
  const both = (): LevelDirectory[] => [raw, packed]

  beforeAll(async () => {
    raw = await makeLevelDirectory({ ...smallShape, seed: 5, batches: 60 })
    packed = await makeLevelDirectory({ ...smallShape, seed: 6, batches: 60, compression: true })
  })

  it('are what LevelDB holds, where nothing is damaged', async () => {
    for (const each of both()) {
      const result = await salvage(each.files)
      expect(result).toMatchObject({ lost: [], stale: [], logLosses: 0, unknown: undefined })
      expect(judge(each, result, 'sound')).toEqual({ missing: 0, stale: 0 })
      expect(result.entries.size).toBe(each.entries.size)
    }
  })

  it('lack nothing in silence, whatever bit of a table is flipped', async () => {
    const total = { cases: 0, missing: 0, stale: 0 }
    for (const each of both()) {
      for (const [index, name] of namesOf(each.files, /\.ldb$/).entries()) {
        const random = new SeededRandom(index)
        const { length } = each.files.get(name)!
        for (let i = 0; i < 24; i++) {
          const [offset, mask] = [random.below(length), 1 << random.below(8)]
          const damaged = changed(each.files, name, (bytes) => flipped(bytes, offset, mask))
          const result = await salvage(damaged)
          const counts = judge(each, result, `${name} at ${offset}, ${mask}`)
          total.cases++
          total.missing += counts.missing
          total.stale += counts.stale
          // One block, and no more, is lost.
          expect(result.lost.length).toBeLessThanOrEqual(1)
          expect(result.entries.size).toBeGreaterThan(each.entries.size / 2)
        }
      }
    }
    expect(total.missing).toBeGreaterThan(50)
    expect(total.stale).toBeGreaterThan(50)
  })

  it('lack nothing in silence where several sectors, and several tables, are damaged', async () => {
    for (let seed = 1; seed <= 60; seed++) {
      const each = both()[seed & 1]
      const random = new SeededRandom(seed)
      let files: Files = each.files
      for (let i = random.below(5); i >= 0; i--) {
        const name = random.pick(namesOf(each.files, /\.ldb$/))
        files = changed(files, name, (bytes) => {
          const start = random.below(bytes.length)
          return bytes.fill(random.below(256), start, Math.min(start + 512, bytes.length))
        })
      }
      judge(each, await salvage(files, each.files), `seed ${seed}`)
    }
  })

  it('lack nothing in silence where tables are cut, gone, or replaced by others', async () => {
    for (let seed = 1; seed <= 60; seed++) {
      const each = both()[seed & 1]
      const random = new SeededRandom(seed)
      const names = namesOf(each.files, /\.ldb$/)
      let files: Files = each.files
      for (let i = random.below(2); i >= 0; i--) {
        const [name, other] = [random.pick(names), random.pick(names)]
        const kind = random.below(3)
        files = changed(files, name, (bytes) => {
          if (kind === 0) return bytes.subarray(0, random.below(bytes.length))
          return kind === 1 ? undefined : Buffer.from(each.files.get(other)!)
        })
        if (!files.has(name)) names.splice(names.indexOf(name), 1)
      }
      judge(each, await salvage(files, each.files), `seed ${seed}`)
    }
  })

  it('lack nothing where index, filter and footer of a table are gone', async () => {
    for (const each of both()) {
      for (const name of namesOf(each.files, /\.ldb$/)) {
        const damaged = changed(each.files, name, (bytes) => bytes.fill(0, bytes.length - 60))
        const result = await salvage(damaged)
        expect(result).toMatchObject({ lost: [], stale: [] })
        expect(judge(each, result, name)).toEqual({ missing: 0, stale: 0 })
      }
    }
  })

  it('tell of synced records of a log that are lost, and of none behind', async () => {
    for (const each of both()) {
      const [name] = namesOf(each.files, /\.log$/)
      const { length } = each.files.get(name)!
      const random = new SeededRandom(length)
      for (let i = 0; i < 30; i++) {
        const offset = random.below(length)
        const damaged = changed(each.files, name, (bytes) => flipped(bytes, offset))
        const result = await salvage(damaged)
        expect(result.logLosses, `byte ${offset}`).toBe(1)
        judge(each, result, `byte ${offset}`)
        const unsynced = await salvage(
          damaged,
          changed(each.files, name, () => undefined)
        )
        expect(unsynced.logLosses).toBe(0)
      }
      expect(
        (
          await salvage(
            changed(each.files, name, () => undefined),
            each.files
          )
        ).logLosses
      ).toBe(1)
      const cut = changed(each.files, name, (bytes) => bytes.subarray(0, -9))
      expect((await salvage(cut, each.files)).logLosses).toBe(1)
    }
  })

  it('are all there without a manifest, and what lies about beside them', async () => {
    for (const each of both()) {
      for (const [name] of each.files) {
        if (!/^MANIFEST|^CURRENT/.test(name)) continue
        const result = await salvage(
          changed(each.files, name, () => undefined),
          each.files
        )
        expect(result.unknown === undefined).toBe(name === 'CURRENT')
        expect(judge(each, result, `${name} gone`).missing).toBe(0)
      }
    }
  })

  it('are found by a newer manifest where CURRENT names an older one that lacks files', async () => {
    const { files } = raw
    const [name] = namesOf(files, /^MANIFEST/)
    // What the older one says is in use is gone already; the entry of CURRENT was not durable.
    const older = new Map(files).set('MANIFEST-000001', await foreignManifest())
    older.set('CURRENT', Buffer.from('MANIFEST-000001\n'))
    const synced = changed(files, name, () => undefined).set('MANIFEST-000001', Buffer.alloc(1))
    const result = await salvage(older, synced)
    expect(result.unknown).toBeUndefined()
    expect(judge(raw, result, 'older CURRENT')).toEqual({ missing: 0, stale: 0 })
  })
})

/** One that lists tables which are in no directory but its own. */
async function foreignManifest(): Promise<Buffer> {
  const { files } = await makeLevelDirectory({ ...smallShape, seed: 9, batches: 110 })
  return files.get(namesOf(files, /^MANIFEST/)[0])!
}
