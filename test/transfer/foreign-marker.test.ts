import fs from 'node:fs'
import { join } from 'node:path'
import { ClassicLevel } from 'classic-level'
import { beforeEach, describe, expect, it } from 'vitest'
import { Checksum } from '../../dist/codec/checksum.js'
import { exportLevelDb, migrate, open } from '../../dist/index.js'
import { CopyMarker, type CopyState } from '../../dist/transfer/copy-marker.js'
import { MemVfs } from '../../dist/vfs/mem-vfs.js'
import { NodeVfs } from '../../dist/vfs/node-vfs.js'
import type { Vfs } from '../../dist/vfs/vfs.js'
import { failure, failureCode, fingerprint, useStores } from '../helpers/store.js'
import {
  contentsOf,
  copy,
  destination,
  inMemory,
  linesOf,
  makeStore,
  markerPath,
  someEntries,
  source
} from './stores.js'

const entries = someEntries(120, 21)
const others = someEntries(90, 22)

/** A store that is to be copied, and the marker that a run of this has left. */
async function interrupted(): Promise<{ vfs: MemVfs; found: CopyState }> {
  const vfs = new MemVfs()
  await makeStore(source, entries, { ...inMemory(vfs), backend: 'btree' })
  const controller = new AbortController()
  const onProgress = (done: number): void => {
    if (done >= 50) controller.abort()
  }
  const { signal } = controller
  expect(await failureCode(() => copy(vfs, 'lsm', { signal, onProgress }))).toBe('KINTSUGI_ABORTED')
  return { vfs, found: (await markerIn(vfs, destination)).found! }
}

async function markerIn(vfs: Vfs, directory: string) {
  const marker = new CopyMarker(vfs, directory, await Checksum.create())
  return { marker, found: await marker.read() }
}

const markers = [
  ['copying', 'store'],
  ['clearing', 'store'],
  ['copying', 'leveldb'],
  ['clearing', 'leveldb'],
  ['publishing', 'leveldb']
] as const

/** What there is beside what copies have of their own. */
function victimIn(vfs: MemVfs, directory: string): Record<string, unknown> {
  const files = Object.entries(fingerprint(vfs))
  const own = /UNFINISHED-COPY|\/LOCK$/
  return Object.fromEntries(
    files.filter(([path]) => path.startsWith(`${directory}/`) && !own.test(path))
  )
}

function put(vfs: MemVfs, path: string, bytes: Uint8Array): void {
  if (vfs.statSync(path) !== undefined) vfs.unlinkSync(path)
  const file = vfs.openSync(path, 'create')
  file.writeSync(bytes, 0)
  file.closeSync()
}

describe('a marker that came into the directory of somebody else', () => {
  const victims: [string, (vfs: MemVfs, at: string) => Promise<void>][] = [
    ['a B+ tree', (vfs, at) => makeStore(at, others, { ...inMemory(vfs, 9), backend: 'btree' })],
    ['an LSM tree', (vfs, at) => makeStore(at, others, { ...inMemory(vfs, 9), backend: 'lsm' })],
    [
      'a store that lost its identity',
      async (vfs, at) => {
        await makeStore(at, others, { ...inMemory(vfs, 9), backend: 'lsm' })
        for (const slot of ['STORE-A', 'STORE-B']) vfs.unlinkSync(`${at}/${slot}`)
      }
    ],
    [
      'a store with a damaged identity',
      async (vfs, at) => {
        await makeStore(at, others, { ...inMemory(vfs, 9), backend: 'lsm' })
        for (const slot of ['STORE-A', 'STORE-B']) {
          vfs.medium.overwrite(`${at}/${slot}`, Buffer.alloc(64), 0)
        }
      }
    ],
    [
      'a LevelDB database',
      async (vfs, at) => {
        vfs.mkdirSync(at)
        const names = ['CURRENT', 'MANIFEST-000001', '000003.log', '000005.ldb']
        for (const name of names) put(vfs, `${at}/${name}`, Buffer.from(name))
      }
    ]
  ]

  it.each(victims)('has nothing of it changed, whatever is copied there: %s', async (_, make) => {
    const { vfs, found } = await interrupted()
    const victim = '/victim'
    await make(vfs, victim)
    await makeStore('/other', others, { ...inMemory(vfs, 8), backend: 'lsm' })
    const before = victimIn(vfs, victim)
    for (const [phase, kind] of markers) {
      for (const [from, backend] of [
        [source, 'lsm'],
        [source, 'btree'],
        ['/other', 'lsm']
      ] as const) {
        const { marker } = await markerIn(vfs, victim)
        await marker.write({ ...found, phase, destination: kind })
        const error = await failure(() => migrate(from, victim, { ...inMemory(vfs), backend }))
        expect(['KINTSUGI_FOREIGN_DIRECTORY', 'KINTSUGI_STORE_EXISTS']).toContain(error.code)
        expect(error.facts.path).toBe(victim)
        expect(victimIn(vfs, victim)).toEqual(before)
      }
    }
    // Nothing but the beginning of a marker: a power cut, or a part of a copied directory.
    const { marker } = await markerIn(vfs, victim)
    if (vfs.statSync(`${victim}/UNFINISHED-COPY`) !== undefined) await marker.remove()
    put(vfs, `${victim}/UNFINISHED-COPY.tmp`, Buffer.of(1))
    const call = () => migrate(source, victim, { ...inMemory(vfs), backend: 'lsm' })
    expect(await failureCode(call)).toBe('KINTSUGI_FOREIGN_DIRECTORY')
    expect(victimIn(vfs, victim)).toEqual(before)
  })

  it('says what to do, and with the marker gone the store opens', async () => {
    const { vfs, found } = await interrupted()
    await makeStore('/victim', others, { ...inMemory(vfs, 9), backend: 'lsm' })
    const { marker } = await markerIn(vfs, '/victim')
    await marker.write(found)
    const call = () => migrate(source, '/victim', { ...inMemory(vfs), backend: 'lsm' })
    expect((await failure(call)).message).toMatch(/nothing was changed.*delete UNFINISHED-COPY in/)
    vfs.unlinkSync('/victim/UNFINISHED-COPY')
    expect(await contentsOf('/victim', inMemory(vfs))).toEqual(linesOf(others))
  })
})

describe('a store that was put over an unfinished copy', () => {
  it.each(['STORE-A', 'STORE-B'])('is refused also when only %s arrived', async (slot) => {
    const { vfs } = await interrupted()
    await makeStore('/victim', others, { ...inMemory(vfs, 9), backend: 'lsm' })
    put(vfs, `${destination}/${slot}`, vfs.medium.read(`/victim/${slot}`))
    const before = victimIn(vfs, destination)
    for (const backend of ['lsm', 'btree'] as const) {
      expect(await failureCode(() => copy(vfs, backend))).toBe('KINTSUGI_FOREIGN_DIRECTORY')
      expect(victimIn(vfs, destination)).toEqual(before)
    }
  })

  it('leaves directories alone that only look like those of a store', async () => {
    const { vfs } = await interrupted()
    vfs.mkdirSync(`${destination}/photos-2024`)
    put(vfs, `${destination}/photos-2024/sea.jpg`, Buffer.of(1, 2, 3))
    expect(await copy(vfs, 'btree')).toMatchObject({ resumed: false })
    expect(vfs.medium.read(`${destination}/photos-2024/sea.jpg`)).toEqual(Buffer.of(1, 2, 3))
    expect(vfs.statSync(markerPath)).toBeUndefined()
  })
})

describe('a marker in the directory of a LevelDB database', () => {
  const stores = useStores()
  let directory: string
  beforeEach(() => {
    directory = stores.directory()
  })

  it('has nothing of it changed by an export', async () => {
    const [from, plain] = [join(directory, 'from'), join(directory, 'plain')]
    await makeStore(from, entries, {})
    const db = new ClassicLevel(plain)
    await db.put('mine', 'kept')
    await db.close()
    const bytes = () =>
      fs
        .readdirSync(plain)
        .filter((name) => !name.startsWith('UNFINISHED'))
        .map((name) => [name, fs.readFileSync(join(plain, name), 'latin1')])
    const before = bytes()
    const store = await open(from, { readOnly: true })
    const { seq } = store
    await store.close()
    for (const [phase, kind] of markers) {
      const { marker } = await markerIn(new NodeVfs(), plain)
      await marker.write({
        phase,
        id: 'ab'.repeat(16),
        source: { kind: 'store', path: from, storeId: 'cd'.repeat(16), seq },
        destination: kind
      })
      const code = await failureCode(() => exportLevelDb(from, plain))
      const isWhole = phase === 'publishing'
      // Not even a copy was begun.
      const parts = fs.readdirSync(plain).filter((name) => /^UNFINISHED-COPY\.\w{32}$/.test(name))
      expect(parts).toEqual([])
      expect(code).toBe(isWhole ? 'KINTSUGI_STORE_EXISTS' : 'KINTSUGI_FOREIGN_DIRECTORY')
      expect(bytes()).toEqual(before)
    }
  })
})
