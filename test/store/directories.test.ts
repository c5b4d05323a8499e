import { describe, expect, it } from 'vitest'
import { SeededRandom } from '../../dist/base/random.js'
import { Checksum } from '../../dist/codec/checksum.js'
import { open } from '../../dist/index.js'
import { MemVfs } from '../../dist/vfs/mem-vfs.js'
import { tinyOptions } from '../helpers/backends.js'
import {
  deterministic,
  failure,
  failureCode,
  fingerprint,
  storePath,
  tiny,
  useStores
} from '../helpers/store.js'
import { testedBackend } from '../helpers/tested-backend.js'

const stores = useStores()

function writeFile(vfs: MemVfs, path: string, text: string | Uint8Array): void {
  const file = vfs.openSync(path, 'create')
  file.writeSync(Buffer.from(text), 0)
  file.datasyncSync()
  file.closeSync()
}

async function closedStore(): Promise<MemVfs> {
  const { store, vfs } = await stores.memory()
  await store.put('k', 'v')
  await store.close()
  return vfs
}

/** As what it is, whatever that may be. */
const openAgain = (vfs: MemVfs) => open(storePath, { ...deterministic(vfs), ...tinyOptions })

async function expectRefused(vfs: MemVfs, code: string): Promise<void> {
  const before = fingerprint(vfs)
  for (const readOnly of [false, true]) {
    const given = { ...deterministic(vfs), ...tiny, readOnly }
    expect(await failureCode(() => open(storePath, given))).toBe(code)
  }
  const after = fingerprint(vfs)
  delete after[`${storePath}/LOCK`]
  delete before[`${storePath}/LOCK`]
  expect(after).toEqual(before)
}

describe('a directory that is not a store', () => {
  it('is refused, and nothing is written into it', async () => {
    const vfs = new MemVfs()
    vfs.mkdirSync(storePath)
    writeFile(vfs, `${storePath}/notes.txt`, 'dear diary')
    const operations = vfs.operationCount
    await expectRefused(vfs, 'KINTSUGI_FOREIGN_DIRECTORY')
    expect(vfs.operationCount).toBe(operations)
    expect(vfs.readdirSync(storePath)).toEqual(['notes.txt'])
  })

  it('is refused when it is a file', async () => {
    const vfs = new MemVfs()
    writeFile(vfs, storePath, 'a file')
    await expectRefused(vfs, 'KINTSUGI_FOREIGN_DIRECTORY')
  })

  it('is refused when it belongs to LevelDB', async () => {
    const vfs = new MemVfs()
    vfs.mkdirSync(storePath)
    for (const name of ['CURRENT', 'LOCK', 'LOG', 'MANIFEST-000002', '000003.log']) {
      writeFile(vfs, `${storePath}/${name}`, name)
    }
    const operations = vfs.operationCount
    await expectRefused(vfs, 'KINTSUGI_FOREIGN_DIRECTORY')
    expect(vfs.operationCount).toBe(operations)
  })

  it('is refused when it holds data of a store without its identity', async () => {
    const vfs = await closedStore()
    vfs.medium.remove(`${storePath}/STORE-A`)
    vfs.medium.remove(`${storePath}/STORE-B`)
    await expectRefused(vfs, 'KINTSUGI_CORRUPTION')
  })

  it('is refused when both identity slots are empty files', async () => {
    const vfs = await closedStore()
    vfs.medium.resize(`${storePath}/STORE-A`, 0)
    vfs.medium.resize(`${storePath}/STORE-B`, 0)
    await expectRefused(vfs, 'KINTSUGI_CORRUPTION')
  })

  it('is refused when a parent is a file', async () => {
    const vfs = new MemVfs()
    writeFile(vfs, '/parent', 'a file')
    const error = await failure(() => open('/parent/store', { ...deterministic(vfs), ...tiny }))
    expect(error.code).toMatch(/^KINTSUGI_/)
    expect(vfs.medium.paths()).toEqual(['/parent'])
  })
})

describe('a store with one identity slot', () => {
  it.each([1, 2, 3])(
    'misses nothing that was persisted %i times, whichever slot it is',
    async (n) => {
      const vfs = new MemVfs()
      const store = await open(storePath, { ...tiny, ...deterministic(vfs) })
      for (let round = 0; round < n; round++) {
        for (let i = 0; i < 300; i++) store.putSync(`key${i}`, `${round}`, { durability: 'os' })
        await store.flush()
        await store.persist()
        await store.persist()
      }
      for (const slot of ['STORE-A', 'STORE-B']) {
        const clone = vfs.crashClone('everything')
        clone.medium.remove(`${storePath}/${slot}`)
        const reopened = await open(storePath, { ...tiny, ...deterministic(clone) })
        expect([...reopened.values()].map(String)).toEqual(
          Array.from({ length: 300 }, () => `${n - 1}`)
        )
        expect(reopened.recovery.droppedBytes).toBe(0)
        await reopened.close()
      }
      await store.close()
    }
  )

  it.each(['STORE-A', 'STORE-B'])(
    'less, %s, opens with a warning and gets it back',
    async (name) => {
      const vfs = await closedStore()
      vfs.medium.remove(`${storePath}/${name}`)
      const { store } = await stores.memory({ vfs })
      expect(store.getSync('k')?.toString()).toBe('v')
      expect(store.recovery.warnings.join()).toContain(name)
      await store.close()
      const { store: again } = await stores.memory({ vfs })
      expect(again.recovery.warnings).toEqual([])
    }
  )

  it('of another store refuses to choose', async () => {
    const vfs = await closedStore()
    const { store: other, vfs: otherVfs } = await stores.memory({ random: new SeededRandom(8) })
    await other.close()
    vfs.medium.overwrite(`${storePath}/STORE-A`, otherVfs.medium.read(`${storePath}/STORE-A`), 0)
    await expectRefused(vfs, 'KINTSUGI_CORRUPTION')
  })
})

describe('a store of another version', () => {
  /** Rewrites both slots with a valid checksum. */
  async function rewrite(vfs: MemVfs, change: (slot: Buffer) => string | undefined) {
    const checksum = await Checksum.create()
    for (const [index, name] of ['STORE-A', 'STORE-B'].entries()) {
      const path = `${storePath}/${name}`
      const slot = vfs.medium.read(path)
      const text = slot.toString('utf8', 24, 24 + slot.readUInt32LE(12))
      const changed = change(slot) ?? text
      slot.fill(0, 24)
      slot.write(changed, 24)
      slot.writeUInt32LE(Buffer.byteLength(changed), 12)
      const covered = Buffer.from(slot.subarray(0, 24 + Buffer.byteLength(changed)))
      covered.fill(0, 16, 24)
      checksum.hash(covered, 0x53544f52, index)
      slot.writeUInt32LE(checksum.low, 16)
      slot.writeUInt32LE(checksum.high, 20)
      vfs.medium.overwrite(path, slot, 0)
    }
  }

  it('is opened when nothing but the bytes around were rewritten', async () => {
    const vfs = await closedStore()
    await rewrite(vfs, () => undefined)
    const store = await openAgain(vfs)
    expect(store.getSync('k')?.toString()).toBe('v')
    await store.close()
  })

  it('newer than this one is refused', async () => {
    const vfs = await closedStore()
    await rewrite(vfs, (slot) => void slot.writeUInt32LE(2, 8))
    await expectRefused(vfs, 'KINTSUGI_UNSUPPORTED_VERSION')
  })

  it('with a feature this one does not know is refused', async () => {
    const vfs = await closedStore()
    await rewrite(vfs, (slot) => {
      const text = slot.toString('utf8', 24, 24 + slot.readUInt32LE(12))
      return JSON.stringify({ ...JSON.parse(text), features: 4 })
    })
    await expectRefused(vfs, 'KINTSUGI_UNSUPPORTED_VERSION')
  })

  it('with a backend this one does not know is refused', async () => {
    const vfs = await closedStore()
    await rewrite(vfs, (slot) => {
      const text = slot.toString('utf8', 24, 24 + slot.readUInt32LE(12))
      return JSON.stringify({ ...JSON.parse(text), backend: 'flat' })
    })
    const error = await failure(() => openAgain(vfs))
    expect(error.code, error.message).toBe('KINTSUGI_UNSUPPORTED_VERSION')
  })

  it('whose identity is not what it should be, though its checksum holds, is refused', async () => {
    for (const text of ['', 'null', '[]', '{}', '{"generation":1}', '{"storeId":7}', '"x"']) {
      const vfs = await closedStore()
      await rewrite(vfs, () => text)
      const error = await failure(() => openAgain(vfs))
      expect(error.code, text).toBe('KINTSUGI_CORRUPTION')
    }
  })
})

describe('an interrupted creation', () => {
  it('is started over when its marker is there', async () => {
    const vfs = new MemVfs()
    vfs.mkdirSync(storePath)
    writeFile(vfs, `${storePath}/CREATING`, '')
    vfs.mkdirSync(`${storePath}/wal`)
    writeFile(vfs, `${storePath}/wal/half`, 'half a file')
    vfs.mkdirSync(`${storePath}/${testedBackend}-1`)
    const { store } = await stores.memory({ vfs })
    expect(store.recovery.created).toBe(true)
    await store.put('k', 'v')
    expect(vfs.readdirSync(storePath)).not.toContain('CREATING')
    expect(vfs.readdirSync(`${storePath}/wal`)).not.toContain('half')
  })
})
