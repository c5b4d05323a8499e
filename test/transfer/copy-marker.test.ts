import { beforeAll, describe, expect, it } from 'vitest'
import { Checksum } from '../../dist/codec/checksum.js'
import { CopyMarker, isSameState, type CopyState } from '../../dist/transfer/copy-marker.js'
import { MemVfs } from '../../dist/vfs/mem-vfs.js'
import { flipBit, truncate } from '../helpers/damage.js'
import { failure, failureCode, fingerprint } from '../helpers/store.js'

const directory = '/copy'
const path = `${directory}/UNFINISHED-COPY`
let checksum: Checksum
beforeAll(async () => {
  checksum = await Checksum.create()
})

const state: CopyState = {
  phase: 'copying',
  id: 'ffeeddccbbaa99887766554433221100',
  source: { kind: 'store', path: '/a', storeId: '00112233445566778899aabbccddeeff', seq: 7 },
  destination: 'store'
}

async function marked(written: CopyState = state) {
  const vfs = new MemVfs()
  vfs.mkdirSync(directory)
  vfs.syncDirectorySync('/')
  const marker = new CopyMarker(vfs, directory, checksum)
  await marker.write(written)
  return { vfs, marker }
}

describe('the marker of a copy', () => {
  it('says what was written, also over another one', async () => {
    const { marker } = await marked()
    expect(await marker.read()).toEqual(state)
    const other: CopyState = {
      phase: 'publishing',
      id: '0'.repeat(32),
      source: { kind: 'leveldb', path: 'Ü', digest: 'ab'.repeat(32) },
      destination: 'leveldb'
    }
    await marker.write(other)
    expect(await marker.read()).toEqual(other)
    await marker.remove()
    expect(await marker.read()).toBeUndefined()
  })

  it('is the old one or the new one whenever the power is cut', async () => {
    const { vfs, marker } = await marked()
    const next: CopyState = { ...state, phase: 'clearing' }
    const seen = new Set<string>()
    const checks: Promise<void>[] = []
    const stop = vfs.onBeforeOperation(() => {
      for (const fate of ['nothing', 'everything'] as const) {
        const read = new CopyMarker(vfs.crashClone(fate), directory, checksum).read()
        checks.push(read.then((found) => void seen.add(found?.phase ?? 'none')))
      }
    })
    await marker.write(next)
    stop()
    await Promise.all(checks)
    expect(seen).toEqual(new Set(['copying', 'clearing']))
    expect(await new CopyMarker(vfs.crashClone('nothing'), directory, checksum).read()).toEqual(
      next
    )
  })

  it('is gone for good once its removal is through, and what was to become one too', async () => {
    const { vfs, marker } = await marked()
    vfs.openSync(`${path}.tmp`, 'create').closeSync()
    await marker.remove()
    const clone = vfs.crashClone('nothing')
    expect(clone.readdirSync(directory)).toEqual([])
  })

  it('is refused with any bit of it wrong, or cut short', async () => {
    const { vfs, marker } = await marked()
    const size = vfs.statSync(path)!.sizeBytes
    for (let bit = 0; bit < size * 8; bit++) {
      flipBit(vfs, path, bit)
      const error = await failure(() => marker.read())
      expect(error.code).toBe('KINTSUGI_CORRUPTION')
      expect(error.facts.path).toBe(path)
      flipBit(vfs, path, bit)
    }
    expect(await marker.read()).toEqual(state)
    for (let length = size - 1; length >= 0; length -= 7) {
      truncate(vfs, path, length)
      expect(await failureCode(() => marker.read())).toBe('KINTSUGI_CORRUPTION')
    }
  })

  it.each([1, 3])('of another version, %i, is refused as such', async (version) => {
    const { vfs, marker } = await marked()
    const bytes = vfs.medium.read(path)
    bytes.writeUInt32LE(version, 8)
    bytes.fill(0, 16, 24)
    checksum.hash(bytes, 0x434f5059, version)
    bytes.writeUInt32LE(checksum.low, 16)
    bytes.writeUInt32LE(checksum.high, 20)
    vfs.medium.overwrite(path, bytes, 0)
    expect(await failureCode(() => marker.read())).toBe('KINTSUGI_UNSUPPORTED_VERSION')
  })

  it.each([
    ['no id', { ...state, id: undefined }],
    ['an id that is a path', { ...state, id: `../${'0'.repeat(29)}` }],
    ['a phase that is none', { ...state, phase: 'done' }],
    ['a phase that a store has not', { ...state, phase: 'publishing' }]
  ])('is refused with %s', async (_, written) => {
    const { marker } = await marked(written as CopyState)
    expect(await failureCode(() => marker.read())).toBe('KINTSUGI_CORRUPTION')
  })

  it('keeps its format: what is on disk now has to be read later', async () => {
    const { vfs } = await marked()
    expect(vfs.medium.read(path).toString('latin1')).toBe(
      Buffer.from(
        '4b494e54434f505902000000ac000000216624146c5038f6' +
          Buffer.from(JSON.stringify(state)).toString('hex'),
        'hex'
      ).toString('latin1')
    )
    expect(Object.keys(fingerprint(vfs))).toEqual([path])
  })

  it('knows the same state of a source wherever it lies', () => {
    const { source } = state
    if (source.kind !== 'store') throw new Error('the state is of a store')
    expect(isSameState(source, { ...source, path: '/moved' })).toBe(true)
    expect(isSameState(source, { ...source, seq: 8 })).toBe(false)
    expect(isSameState(source, { ...source, storeId: '0'.repeat(32) })).toBe(false)
    const level = { kind: 'leveldb', path: '/a', digest: 'a' } as const
    expect(isSameState(source, level)).toBe(false)
    expect(isSameState(level, source)).toBe(false)
    expect(isSameState(level, { ...level, path: '/b' })).toBe(true)
    expect(isSameState(level, { ...level, digest: 'b' })).toBe(false)
  })
})
