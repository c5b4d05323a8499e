import { describe, expect, it } from 'vitest'
import { Manifest } from '../../../../dist/backends/lsm/manifest/manifest.js'
import {
  decodeCurrent,
  encodeCurrent,
  readCurrent,
  type Current
} from '../../../../dist/backends/lsm/manifest/current-file.js'
import { CurrentField } from '../../../../dist/backends/lsm/manifest/format.js'
import { SeededRandom } from '../../../../dist/base/random.js'
import { KintsugiError } from '../../../../dist/errors.js'
import { segmentFileName } from '../../../../dist/wal/format.js'
import { MemVfs } from '../../../../dist/vfs/mem-vfs.js'
import { damageAnything, flipBit, restoreStaleFile } from '../../../helpers/damage.js'
import { checksum, codeOf, contextOf, directory, opened, stateOf, storeId } from './fixture.js'
import { ManifestUser } from './manifest-user.js'

const current: Current = {
  epoch: 4,
  floorSegment: 7,
  snapshotEdit: 30,
  activeSegment: 8,
  syncedEdit: 41,
  cleanMark: {
    segment: 9,
    offset: 640,
    chainLow: 0xdeadbeef,
    chainHigh: 0x12345678,
    seq: 41,
    epoch: 4
  }
}

describe('CURRENT', () => {
  const bytes = () => encodeCurrent(current, storeId, checksum)
  const decode = (changed: Buffer) => decodeCurrent(changed, '/lsm/CURRENT', storeId, checksum)
  const sealed = (changed: Buffer) => {
    checksum.hash(changed.subarray(0, CurrentField.checksum), 0x43555252, 0)
    changed.writeUInt32LE(checksum.low, CurrentField.checksum)
    changed.writeUInt32LE(checksum.high, CurrentField.checksum + 4)
    return changed
  }

  it('is read as it was written, with and without a clean mark', () => {
    expect(decode(bytes())).toEqual(current)
    const open = { ...current, cleanMark: undefined }
    expect(decode(encodeCurrent(open, storeId, checksum))).toEqual(open)
  })

  it('is told when one bit of it is wrong, or its size', async () => {
    for (let bit = 0; bit < bytes().length * 8; bit++) {
      const changed = bytes()
      changed[bit >> 3] ^= 1 << (bit & 7)
      expect(await codeOf(() => decode(changed))).toBe('KINTSUGI_CORRUPTION')
    }
    for (let size = 0; size < bytes().length; size++) {
      expect(await codeOf(() => decode(bytes().subarray(0, size)))).toBe('KINTSUGI_CORRUPTION')
    }
    const longer = Buffer.concat([bytes(), Buffer.alloc(1)])
    expect(await codeOf(() => decode(longer))).toBe('KINTSUGI_CORRUPTION')
  })

  it('of a newer version or with unknown features is unsupported', async () => {
    for (const field of [CurrentField.version, CurrentField.features]) {
      const changed = bytes()
      changed.writeUInt32LE(2, field)
      expect(await codeOf(() => decode(sealed(changed)))).toBe('KINTSUGI_UNSUPPORTED_VERSION')
    }
  })

  it('that contradicts itself is damaged', async () => {
    for (const change of [
      { snapshotEdit: 42 },
      { snapshotEdit: 0 },
      { floorSegment: 0 },
      { epoch: 2 ** 53 }
    ]) {
      const changed = encodeCurrent({ ...current, ...change }, storeId, checksum)
      expect(await codeOf(() => decode(changed))).toBe('KINTSUGI_CORRUPTION')
    }
  })
})

/** A manifest with some history: rolled, not closed or closed, its last edits witnessed. */
async function history(seed: number, clean: boolean) {
  const ignored = { attempt: () => undefined, acknowledge: () => undefined }
  const bare = new MemVfs()
  const user = new ManifestUser(bare, new SeededRandom(seed), ignored)
  await user.create()
  for (let i = 0; i < 25; i++) await user.act()
  const older = bare.crashClone('everything')
  for (let i = 0; i < 25; i++) await user.act()
  await user.manifest.acknowledge()
  const witnessed = stateOf(user.manifest.version)
  if (clean) await user.manifest.close(true)
  return { vfs: bare.crashClone('nothing'), older, witnessed }
}

/** Opens: the state that was acknowledged, or a typed error that says what to do. */
async function openOrError(vfs: MemVfs, expected: string, what: string): Promise<boolean> {
  try {
    const { version } = await opened(vfs)
    expect(stateOf(version), what).toBe(expected)
    return true
  } catch (error) {
    if (!(error instanceof KintsugiError)) throw error
    expect(error.code, what).toMatch(/^KINTSUGI_(CORRUPTION|UNSUPPORTED_VERSION)$/)
    if (error.code === 'KINTSUGI_CORRUPTION') {
      expect(error.message, what).toContain('kintsugi rebuild-manifest')
      expect(error.facts.path, what).toContain(directory)
    }
    return false
  }
}

describe('damage to what was acknowledged', () => {
  it.each([true, false])('is detected or harmless, bit by bit (closed: %s)', async (clean) => {
    const { vfs, witnessed } = await history(3, clean)
    const paths = vfs.medium.paths().filter((path) => /CURRENT$|\.wal$/.test(path))
    let harmless = 0
    let cases = 0
    for (const path of paths) {
      const bits = vfs.medium.read(path).length * 8
      for (let bit = cases % 61; bit < bits; bit += 127) {
        const clone = vfs.crashClone('everything')
        const what = flipBit(clone, path, bit)
        cases++
        if (await openOrError(clone, witnessed, what)) harmless++
      }
    }
    console.log(`bit flips in a manifest: ${cases} tried, ${harmless} harmless`)
    expect(cases).toBeGreaterThan(300)
    expect(harmless).toBeLessThan(cases)
  })

  it('of any other kind is detected or harmless', async () => {
    let cases = 0
    for (const seed of [5, 6, 7]) {
      const { vfs, older, witnessed } = await history(seed, seed % 2 === 0)
      const random = new SeededRandom(seed)
      const matches = (path: string) => path.endsWith('.wal') || path.endsWith('CURRENT')
      for (let i = 0; i < 120; i++) {
        const clone = vfs.crashClone('everything')
        const isStaleWitness = random.below(20) === 0
        const what = isStaleWitness
          ? restoreStaleFile(clone, older, `${directory}/CURRENT`)
          : damageAnything(clone, random, {
              older,
              matches: (path) => matches(path) && !path.endsWith('CURRENT')
            })
        await openOrError(clone, witnessed, what ?? 'nothing')
        cases++
      }
    }
    expect(cases).toBe(360)
  })

  it('is not repaired by opening: it fails the same way again, and nothing was written', async () => {
    const { vfs } = await history(4, true)
    const { floorSegment } = readCurrent(contextOf(vfs))
    flipBit(vfs, `${directory}/manifest/${segmentFileName(floorSegment)}`, 504 * 8)
    const files = () =>
      vfs.medium
        .paths()
        .filter((p) => p.endsWith('.wal'))
        .map((p) => vfs.medium.read(p).toString('hex'))
    const before = files()
    for (let i = 0; i < 2; i++) {
      expect(await codeOf(() => Manifest.open(contextOf(vfs, { epoch: 3 })))).toBe(
        'KINTSUGI_CORRUPTION'
      )
      expect(files()).toEqual(before)
    }
  })
})
