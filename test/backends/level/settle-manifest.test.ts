import fs from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it, onTestFinished } from 'vitest'
import { SeededRandom } from '../../../dist/base/random.js'
import { open } from '../../../dist/index.js'
import { DiskVfs } from '../../helpers/disk-vfs.js'
import { useStores } from '../../helpers/store.js'
import {
  apply,
  create,
  databasePath,
  emptyDisk,
  persist,
  progress,
  put,
  reopen,
  textOf
} from './level-harness.js'

const stores = useStores()
const manifestPattern = /^MANIFEST-\d+$/

function manifestIn(database: string): string {
  return join(
    database,
    fs.readdirSync(database).find((name) => manifestPattern.test(name))!
  )
}

async function filledStore(): Promise<string> {
  const path = join(stores.directory(), 'store')
  const store = await open(path, { backend: 'level' })
  for (let i = 0; i < 200; i++) await store.put(`key${i}`, `value ${i}`, { durability: 'os' })
  await store.close()
  return path
}

async function expectWhole(path: string, readOnly: boolean): Promise<readonly string[]> {
  const store = await open(path, { readOnly })
  try {
    for (let i = 0; i < 200; i++) {
      expect((await store.get(`key${i}`))?.toString()).toBe(`value ${i}`)
    }
    return store.recovery.warnings
  } finally {
    await store.close()
  }
}

function garbage(length: number): Buffer {
  const bytes = Buffer.alloc(length)
  new SeededRandom(length).fill(bytes)
  return bytes
}

/** What a power cut leaves where the size of a file was on disk and its contents were not. */
const tails: [string, (whole: Buffer) => Buffer][] = [
  ['a little garbage', () => garbage(9)],
  ['garbage', () => garbage(300)],
  ['garbage of several blocks', () => garbage(70_000)],
  ['zeros', () => Buffer.alloc(50_000)],
  ['zeros and garbage', () => Buffer.concat([Buffer.alloc(500), garbage(500)])],
  ['half of a record', (whole) => whole.subarray(0, 20)],
  ['a record whose last bytes are missing', (whole) => changedAtEnd(firstRecord(whole))]
]

function firstRecord(bytes: Buffer): Buffer {
  return Buffer.from(bytes.subarray(0, 7 + bytes.readUInt16LE(4)))
}

function changedAtEnd(record: Buffer): Buffer {
  return record.fill(0, record.length - 5)
}

describe('a manifest of LevelDB that ends in something that is no record', () => {
  it.each(tails)('(%s) is cut where it was not synced, and kept as it was', async (_, tail) => {
    const path = await filledStore()
    const manifest = manifestIn(join(path, 'level-1/db'))
    const whole = fs.readFileSync(manifest)
    const before = Buffer.concat([whole, tail(whole)])
    fs.writeFileSync(manifest, before)

    await expectWhole(path, true)
    expect(fs.readFileSync(manifest)).toEqual(before)
    expect(fs.existsSync(join(path, 'quarantine'))).toBe(false)

    const warnings = await expectWhole(path, false)
    expect(warnings).toHaveLength(1)
    expect(warnings[0]).toContain(`${manifest} at byte ${whole.length}`)
    const kept = warnings[0].slice(warnings[0].lastIndexOf(' ') + 1)
    expect(fs.readFileSync(kept)).toEqual(before)
    expect(await expectWhole(path, false)).toEqual([])
  })

  it('is told as a warning by verify, and is no damage to repair', async () => {
    const path = await filledStore()
    const manifest = manifestIn(join(path, 'level-1/db'))
    fs.appendFileSync(manifest, changedAtEnd(firstRecord(fs.readFileSync(manifest))))
    const store = await open(path, { readOnly: true })
    const findings = await store.verify('comprehensive')
    await store.close()
    expect(findings).toMatchObject([{ severity: 'warning', kind: 'manifest-tail', path: manifest }])
  })

  it('is refused where it was synced, or where a record follows', async () => {
    const path = await filledStore()
    const manifest = manifestIn(join(path, 'level-1/db'))
    const whole = fs.readFileSync(manifest)
    const damaged = Buffer.from(whole)
    damaged[whole.length - 3] ^= 4
    // As LevelDB reads on in the next block.
    const filled = Buffer.concat([whole, garbage(32_768 - whole.length), firstRecord(whole)])
    for (const bytes of [damaged, filled]) {
      fs.writeFileSync(manifest, bytes)
      const opening = open(path)
      await expect(opening).rejects.toMatchObject({ code: 'KINTSUGI_CORRUPTION' })
      await expect(opening).rejects.toThrow(/MANIFEST.*kintsugi repair/)
      expect(fs.readFileSync(manifest)).toEqual(bytes)
    }
  })

  it('is refused where LevelDB has removed tables that the records before it need', async () => {
    const disk = emptyDisk()
    const backend = await create(disk.vfs)
    for (let seq = 1; seq <= 4; seq++) {
      apply(backend, seq, put('a', `${seq}`), put('z', 'x'.repeat(20_000)))
      await persist(backend)
    }
    // What LevelDB does from here on is not in STATE.
    await backend.compact({}, progress)
    const crashed = disk.copy()
    onTestFinished(() => crashed.remove())
    const manifest = manifestIn(join(crashed.root, databasePath))
    const bytes = fs.readFileSync(manifest)
    bytes[bytes.length - 3] ^= 4
    fs.writeFileSync(manifest, bytes)
    await expect(reopen(crashed.vfs)).rejects.toMatchObject({ code: 'KINTSUGI_CORRUPTION' })
    await expect(reopen(crashed.vfs)).rejects.toThrow(/is missing/)
    expect(fs.readFileSync(manifest)).toEqual(bytes)
  })

  it('loses nothing wherever its cutting is interrupted', async () => {
    const disk = emptyDisk()
    const backend = await create(disk.vfs)
    for (let seq = 1; seq <= 3; seq++) {
      apply(backend, seq, put('a', `${seq}`), put(`b${seq}`, 'x'.repeat(2000)))
      await persist(backend)
    }
    await backend.close()
    fs.appendFileSync(manifestIn(join(disk.root, databasePath)), garbage(500))
    const crashed: DiskVfs[] = []
    disk.onBeforeOperation(({ kind }) => {
      if (!['read', 'stat', 'readdir', 'size'].includes(kind)) crashed.push(disk.copy())
    })
    await (await reopen(disk.vfs)).close()
    expect(crashed.length).toBeGreaterThan(15)
    for (const copy of crashed) {
      onTestFinished(() => copy.remove())
      const reopened = await reopen(copy.vfs)
      expect(textOf(reopened, 'a')).toBe('3')
      expect(textOf(reopened, 'b1')).toHaveLength(2000)
      await reopened.close()
    }
  })
})
