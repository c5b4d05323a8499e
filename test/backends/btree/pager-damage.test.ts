import { describe, expect, it } from 'vitest'
import { SeededRandom } from '../../../dist/base/random.js'
import { isCorruption, KintsugiError } from '../../../dist/errors.js'
import { MemVfs } from '../../../dist/vfs/mem-vfs.js'
import { flipBit, restoreStaleBlock, swapBlocks, zeroBlock } from '../../helpers/damage.js'
import { silent, ToyTree, toyOptions, type ToyModel } from './toy-tree.js'

const path = '/btree/tree.pages'
const pageBytes = 4096

/** A store that was persisted often enough for page numbers to be reused; the last two states. */
async function build(): Promise<{ disk: MemVfs; older: MemVfs; models: ToyModel[] }> {
  const disk = new MemVfs()
  disk.mkdirSync('/btree')
  disk.syncDirectorySync('/')
  const tree = await ToyTree.create(toyOptions(disk))
  for (let i = 0; i < tree.capacity; i++) tree.set(i, i + 1, i % 9 === 0 ? 6000 : 0)
  await tree.persist()
  let older = disk
  const models: ToyModel[] = []
  for (let round = 0; round < 6; round++) {
    if (round === 3) older = disk.crashClone('nothing')
    for (let i = round; i < tree.capacity; i += 11) {
      tree.set(i, i + 500 * (round + 1), i % 2 === 0 ? 3000 : 0)
    }
    await tree.persist()
    models.push(tree.read())
  }
  await tree.pager.close()
  return { disk, older, models: models.slice(-2) }
}

/** Opens and reads everything, synchronously or not: a right state, or a typed error. */
async function inspect(disk: MemVfs, models: ToyModel[], what: string): Promise<string> {
  const options = toyOptions(disk, { readOnly: true, cacheBytes: 0 })
  let tree: ToyTree
  try {
    tree = await ToyTree.open(options)
  } catch (error) {
    expect(isCorruption(error), `${what}: ${String(error)}`).toBe(true)
    return 'refused'
  }
  try {
    const findings = await tree.pager.verify('standard', silent)
    try {
      expect(models, what).toContainEqual(tree.read())
      return findings.length > 0 || tree.pager.openNotes.length > 0 ? 'reported' : 'harmless'
    } catch (error) {
      expect(error, what).toBeInstanceOf(KintsugiError)
      const { code, facts } = error as KintsugiError
      expect(code).toBe('KINTSUGI_CORRUPTION')
      expect(facts.path).toBe(path)
      expect(facts.offset).toBe(facts.page! * pageBytes)
      expect(
        findings.map((finding) => finding.page),
        what
      ).toContain(facts.page)
      return 'detected'
    }
  } finally {
    await tree.pager.close()
  }
}

describe('a damaged page', () => {
  it('is detected wherever a single bit is wrong, or was not in use', async () => {
    const { disk, models } = await build()
    const bits = disk.medium.read(path).length * 8
    const random = new SeededRandom(7)
    const outcomes: Record<string, number> = {}
    for (let i = 0; i < 1500; i++) {
      const clone = disk.crashClone('nothing')
      const what = flipBit(clone, path, random.below(bits))
      const outcome = await inspect(clone, models, what)
      outcomes[outcome] = (outcomes[outcome] ?? 0) + 1
    }
    expect(outcomes.detected).toBeGreaterThan(300)
    expect(outcomes.refused ?? 0).toBe(0)
  })

  it('is detected when it is zeroed, swapped with another or put back to an older version', async () => {
    const { disk, older, models } = await build()
    const pages = disk.medium.read(path).length / pageBytes
    let detected = 0
    for (let page = 0; page < pages; page++) {
      const position = page * pageBytes
      const damages = [
        (clone: MemVfs) => zeroBlock(clone, path, position, pageBytes),
        (clone: MemVfs) =>
          swapBlocks(clone, path, position, (pages - 1 - page) * pageBytes, pageBytes),
        (clone: MemVfs) => restoreStaleBlock(clone, older, path, position, pageBytes)
      ]
      for (const damage of damages) {
        const clone = disk.crashClone('nothing')
        if ((await inspect(clone, models, damage(clone))) === 'detected') detected++
      }
    }
    expect(detected).toBeGreaterThan(pages)
  })

  it('is told by its parent when it is an older version, whole and in its place', async () => {
    const disk = new MemVfs()
    disk.mkdirSync('/btree')
    disk.syncDirectorySync('/')
    const tree = await ToyTree.create(toyOptions(disk))
    const clones: MemVfs[] = []
    for (let round = 0; round < 6; round++) {
      for (let i = 0; i < tree.capacity; i++) tree.set(i, 1000 * round + i + 1)
      await tree.persist()
      clones.push(disk.crashClone('nothing'))
    }
    const pages = disk.medium.read(path).length / pageBytes
    let stale = 0
    for (let page = 2; page < pages; page++) {
      for (const older of clones.slice(0, -2)) {
        const clone = disk.crashClone('nothing')
        if (older.medium.read(path).length <= page * pageBytes) continue
        restoreStaleBlock(clone, older, path, page * pageBytes, pageBytes)
        const again = await ToyTree.open(toyOptions(clone, { readOnly: true }))
        const findings = await again.pager.verify('standard', silent)
        try {
          // An older root or freelist makes the older state count, and the opening says so.
          const fellBack = again.pager.openNotes.length > 0
          if (!fellBack) expect(again.read()).toEqual(tree.read())
        } catch (error) {
          // A page that was not written then is damaged in other ways.
          expect(isCorruption(error)).toBe(true)
          expect(findings.length).toBeGreaterThan(0)
          if ((error as Error).message.includes('not the version that its parent')) stale++
        }
        await again.pager.close()
      }
    }
    expect(stale).toBeGreaterThan(8)
    await tree.pager.close()
  })

  it('is detected when the file was cut', async () => {
    const { disk, models } = await build()
    const pages = disk.medium.read(path).length / pageBytes
    for (let page = 0; page < pages; page++) {
      const clone = disk.crashClone('nothing')
      clone.openSync(path, 'readwrite').truncateSync(page * pageBytes + 100)
      await inspect(clone, models, `cut inside page ${page}`)
    }
  })

  it('leaves the older state readable when the newest one lost its root', async () => {
    const { disk, models } = await build()
    const before = await ToyTree.open(toyOptions(disk, { readOnly: true }))
    const { rootPage } = before
    await before.pager.close()
    zeroBlock(disk, path, rootPage * pageBytes, pageBytes)
    const tree = await ToyTree.open(toyOptions(disk, { epoch: 2 }))
    expect(tree.read()).toEqual(models[0])
    expect(tree.pager.openNotes.join()).toContain(`page ${rootPage}`)
    expect(tree.pager.retirableSeq).toBe(tree.appliedSeq)
    expect(await tree.pager.verify('standard', silent)).toEqual([])
    for (let i = 0; i < 3; i++) {
      tree.set(i, 900 + i)
      await tree.persist()
      expect(await tree.pager.verify('standard', silent)).toEqual([])
    }
    const model = tree.read()
    await tree.pager.close()
    const again = await ToyTree.open(toyOptions(disk, { epoch: 2 }))
    expect(again.read()).toEqual(model)
    expect(again.pager.slots.newest.abandoned).toHaveLength(2)
    await again.pager.close()
  })

  it('does not come back as the newest state after an opening went behind it', async () => {
    const { disk, models } = await build()
    const whole = disk.medium.read(path)
    const before = await ToyTree.open(toyOptions(disk, { readOnly: true }))
    const position = before.rootPage * pageBytes
    await before.pager.close()
    zeroBlock(disk, path, position, pageBytes)
    const first = await ToyTree.open(toyOptions(disk, { epoch: 2 }))
    await first.pager.close()
    disk.medium.overwrite(path, whole.subarray(position, position + pageBytes), position)
    const second = await ToyTree.open(toyOptions(disk, { epoch: 2 }))
    expect(second.read()).toEqual(models[0])
    expect(second.pager.openNotes).toEqual([])
    await second.pager.close()
  })
})
