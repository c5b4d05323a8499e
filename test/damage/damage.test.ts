import { beforeAll, describe, expect, it } from 'vitest'
import { SeededRandom } from '../../dist/base/random.js'
import type { MemVfs } from '../../dist/vfs/mem-vfs.js'
import * as damage from '../helpers/damage.js'
import { failure } from '../helpers/store.js'
import { backendFiles, testedBackend } from '../helpers/tested-backend.js'
import { judge, makeSpecimen, openAt, path, type Specimen, type Verdict } from './damaged-store.js'

const timeoutMs = 300_000

type Tally = Record<Verdict | 'states', number>

class Campaign {
  readonly tallies = new Map<string, Tally>()

  constructor(readonly specimen: Specimen) {}

  async try(kind: string, inflict: (vfs: MemVfs) => string): Promise<void> {
    const vfs = this.specimen.vfs.crashClone('everything')
    let what = 'nothing yet'
    try {
      what = inflict(vfs)
      const verdict = await judge(this.specimen, vfs)
      const tally = this.#tallyOf(kind)
      tally[verdict]++
      tally.states++
    } catch (error) {
      const message = error instanceof Error ? (error.stack ?? error.message) : String(error)
      const state = this.specimen.closed ? 'closed store' : 'store of a dead process'
      throw new Error(`${state}, ${what}: ${message}`, { cause: error })
    }
  }

  #tallyOf(kind: string): Tally {
    let tally = this.tallies.get(kind)
    if (tally === undefined) {
      tally = { states: 0, refused: 0, found: 0, dropped: 0, harmless: 0 }
      this.tallies.set(kind, tally)
    }
    return tally
  }

  sum(field: keyof Tally): number {
    return [...this.tallies.values()].reduce((total, tally) => total + tally[field], 0)
  }

  print(): void {
    for (const [kind, tally] of this.tallies)
      console.log(`${testedBackend}, ${kind}: ${JSON.stringify(tally)}`)
  }
}

/** What a file is to the store: its log, its data, or a file of its own by name. */
function kindOf(file: string): string {
  if (file.includes('/wal/')) return 'log'
  if (!file.includes(backendFiles)) return file.split('/').at(-1)!
  if (file.endsWith('.sst')) return 'table'
  return file.includes('/manifest/') || file.endsWith('CURRENT') ? 'manifest' : 'data'
}

const isData = (file: string): boolean => file.includes(backendFiles)

/** Compressed tables are small: there the damage lies closer together. */
const stride = testedBackend === 'lsm' ? 31 : 67
const partsOfSector = testedBackend === 'lsm' ? 2 : 1

describe.each([
  ['closed', true],
  ['left by a dead process', false]
])('damage to a store %s', (name, closed) => {
  let specimen: Specimen

  beforeAll(async () => {
    specimen = await makeSpecimen(testedBackend, closed)
  })

  it('is nowhere to be seen in the specimen itself', async () => {
    expect(await judge(specimen, specimen.vfs.crashClone('everything'))).toBe('harmless')
  })

  it(
    'by single bits is detected or harmless',
    async () => {
      const campaign = new Campaign(specimen)
      for (const file of specimen.vfs.medium.paths()) {
        const size = specimen.vfs.medium.read(file).length
        // Headers densely, the rest by a stride that visits every position of a sector.
        for (
          let byte = 0;
          byte < size;
          byte += byte % 4096 < 64 ? 5 : size > 65_536 ? 211 : stride
        ) {
          const bit = byte * 8 + (byte % 8)
          await campaign.try(`${name}, bit in ${kindOf(file)}`, (vfs) =>
            damage.flipBit(vfs, file, bit)
          )
        }
      }
      campaign.print()
      expect(campaign.sum('states')).toBeGreaterThan(1000)
      expect(campaign.sum('refused') + campaign.sum('found')).toBeGreaterThan(100)
    },
    timeoutMs
  )

  it(
    'by zeroed, scrambled, stale and swapped sectors is detected or harmless',
    async () => {
      const campaign = new Campaign(specimen)
      const { older } = specimen
      for (const file of specimen.vfs.medium.paths()) {
        const size = specimen.vfs.medium.read(file).length
        const kind = kindOf(file)
        const stale = older.statSync(file) !== undefined
        for (let at = 0; at < size; at += 512 / partsOfSector) {
          const random = new SeededRandom(at)
          const other = random.below(Math.ceil(size / 512)) * 512
          await campaign.try(`${name}, zeroed in ${kind}`, (vfs) => damage.zeroBlock(vfs, file, at))
          await campaign.try(`${name}, scrambled in ${kind}`, (vfs) =>
            damage.scrambleBlock(vfs, file, at, random)
          )
          await campaign.try(`${name}, swapped in ${kind}`, (vfs) =>
            damage.swapBlocks(vfs, file, at, other)
          )
          if (!stale || older.medium.read(file).length <= at) continue
          await campaign.try(`${name}, stale in ${kind}`, (vfs) =>
            damage.restoreStaleBlock(vfs, older, file, at)
          )
        }
        for (let at = 0; at < size; at += 4096) {
          const other = (at + 4096) % Math.max(4096, size - (size % 4096))
          await campaign.try(`${name}, blocks swapped in ${kind}`, (vfs) =>
            damage.swapBlocks(vfs, file, at, other, 4096)
          )
          if (!stale || older.medium.read(file).length <= at) continue
          await campaign.try(`${name}, stale block in ${kind}`, (vfs) =>
            damage.restoreStaleBlock(vfs, older, file, at, 4096)
          )
        }
      }
      campaign.print()
      expect(campaign.sum('states')).toBeGreaterThan(1000)
    },
    timeoutMs
  )

  it(
    'by truncation, removal and replacement of a file is detected or harmless',
    async () => {
      const campaign = new Campaign(specimen)
      const { older } = specimen
      const files = specimen.vfs.medium.paths()
      const foreign = await makeSpecimen(testedBackend, closed, 4)
      for (const file of files) {
        const size = specimen.vfs.medium.read(file).length
        const kind = kindOf(file)
        for (let at = 0; at < size; at += at % 4096 === 0 ? 1 : 511) {
          await campaign.try(`${name}, ${kind} cut`, (vfs) => damage.truncate(vfs, file, at))
        }
        await campaign.try(`${name}, ${kind} removed`, (vfs) => damage.remove(vfs, file))
        const folder = file.slice(0, file.lastIndexOf('/'))
        const others = files.filter((other) => other > file && other.startsWith(`${folder}/`))
        for (const other of others.filter((path) => !path.slice(folder.length + 1).includes('/'))) {
          await campaign.try(`${name}, ${kind} swapped with its neighbour`, (vfs) =>
            damage.swapFiles(vfs, file, other)
          )
        }
        if (foreign.vfs.statSync(file) !== undefined) {
          await campaign.try(`${name}, ${kind} replaced by another store’s`, (vfs) =>
            damage.restoreStaleFile(vfs, foreign.vfs, file)
          )
        }
        if (older.statSync(file) === undefined) continue
        await campaign.try(`${name}, ${kind} replaced by an older one`, (vfs) =>
          damage.restoreStaleFile(vfs, older, file)
        )
      }
      campaign.print()
      expect(campaign.sum('states')).toBeGreaterThan(100)
    },
    timeoutMs
  )

  it('that takes both identity slots away never starts an empty store', async () => {
    const vfs = specimen.vfs.crashClone('everything')
    damage.remove(vfs, `${path}/STORE-A`)
    damage.remove(vfs, `${path}/STORE-B`)
    expect((await failure(() => openAt(vfs))).code).toBe('KINTSUGI_CORRUPTION')
  })

  it('that takes a whole directory away is refused', async () => {
    for (const isIn of [(file: string) => file.includes('/wal/'), isData]) {
      const vfs = specimen.vfs.crashClone('everything')
      for (const file of vfs.medium.paths()) {
        if (isIn(file)) damage.remove(vfs, file)
      }
      expect(['refused', 'harmless']).toContain(await judge(specimen, vfs))
    }
  })

  it(
    'of several kinds at once is detected or harmless',
    async () => {
      const campaign = new Campaign(specimen)
      for (let seed = 0; seed < 300; seed++) {
        const random = new SeededRandom(seed)
        await campaign.try(`${name}, three at once in the data`, (vfs) => {
          const done: string[] = []
          for (let i = 0; i < 3; i++) {
            const options = {
              older: specimen.older,
              matches: isData,
              blockBytes: random.pick([512, 4096])
            }
            const what = damage.damageAnything(vfs, random, options)
            if (what !== undefined) done.push(what)
          }
          return `seed ${seed}: ${done.join(', ')}`
        })
      }
      campaign.print()
    },
    timeoutMs
  )
})
