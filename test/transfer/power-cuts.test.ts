import { expect, it } from 'vitest'
import { open } from '../../dist/index.js'
import { copyBetween } from '../../dist/transfer/migrate.js'
import { MemVfs } from '../../dist/vfs/mem-vfs.js'
import { exploreCrashes, type ExplorerOptions } from '../helpers/crash-explorer.js'
import { failureCode } from '../helpers/store.js'
import {
  contentsOf,
  copy,
  destination,
  inMemory,
  linesOf,
  makeStore,
  migrated,
  smallBounds,
  someEntries,
  source
} from './stores.js'

const entries = someEntries(60, 3)
const lines = linesOf(entries)

/** Puts the files of a directory, durable, over what is there. */
async function plant(from: MemVfs, to: MemVfs, directory: string, at = directory): Promise<void> {
  if (to.statSync(at) === undefined) to.mkdirSync(at)
  for (const name of from.readdirSync(directory)) {
    const path = `${directory}/${name}`
    if (from.statSync(path)!.isDirectory) {
      await plant(from, to, path, `${at}/${name}`)
      continue
    }
    if (name === 'LOCK' && at !== directory) continue
    if (to.statSync(`${at}/${name}`) !== undefined) to.unlinkSync(`${at}/${name}`)
    const file = to.openSync(`${at}/${name}`, 'create')
    file.writeSync(from.medium.read(path), 0)
    file.datasyncSync()
    file.closeSync()
  }
  to.syncDirectorySync(at)
}

/** Whether all files of a directory are there, byte for byte. */
function expectKept(from: MemVfs, to: MemVfs, directory: string, at: string): void {
  for (const name of from.readdirSync(directory)) {
    if (name === 'LOCK') continue
    const path = `${directory}/${name}`
    if (from.statSync(path)!.isDirectory) expectKept(from, to, path, `${at}/${name}`)
    else expect(to.medium.read(`${at}/${name}`).equals(from.medium.read(path))).toBe(true)
  }
}

async function openedOr(vfs: MemVfs): Promise<string[] | string> {
  const given = { ...inMemory(vfs), createIfMissing: false }
  try {
    await (await open(destination, given)).close()
  } catch (error) {
    return (error as { code: string }).code
  }
  return contentsOf(destination, inMemory(vfs))
}

type Fact = 'planted' | 'begun' | 'copied'

/** A copy, whatever of it the power lets happen. */
async function explore(
  [from, to]: readonly ['btree' | 'lsm', 'btree' | 'lsm'],
  options: Partial<ExplorerOptions<Fact>>
) {
  const made = new MemVfs()
  await makeStore(source, entries, { ...inMemory(made), backend: from })
  const outcomes = { absent: 0, unfinished: 0, complete: 0, resumed: 0 }
  const report = await exploreCrashes<Fact>({
    seed: 41,
    ...options,
    history: async ({ vfs, acknowledge, attempt, step }) => {
      await plant(made, vfs, source)
      vfs.syncDirectorySync('/')
      await step('copy')
      attempt('begun')
      acknowledge('planted')
      await copy(vfs, to)
      acknowledge('copied')
    },
    check: async (clone, { acknowledged, recovered }) => {
      if (!acknowledged.includes('planted')) return
      const found = await openedOr(clone)
      if (typeof found !== 'string') {
        outcomes.complete++
        expect(found).toEqual(lines)
        return
      }
      expect(acknowledged).not.toContain('copied')
      expect(['KINTSUGI_STORE_MISSING', 'KINTSUGI_UNFINISHED_COPY']).toContain(found)
      if (found === 'KINTSUGI_STORE_MISSING') outcomes.absent++
      else outcomes.unfinished++
      const { resumed, digest } = await copy(clone, to)
      if (resumed) outcomes.resumed++
      recovered()
      expect(digest).toMatch(/^[0-9a-f]{64}$/)
      expect(await openedOr(clone)).toEqual(lines)
    }
  })
  console.log(`${from} to ${to}: ${JSON.stringify(outcomes)}, ${JSON.stringify(report)}`)
  return { outcomes, report }
}

it('a power cut before any operation of a migration leaves it absent, unfinished or complete', async () => {
  for (const pair of [
    ['btree', 'lsm'],
    ['lsm', 'btree']
  ] as const) {
    const { outcomes, report } = await explore(pair, {
      fixedFates: ['n', 'e', 'k'],
      randomFates: 5
    })
    expect(report.states).toBeGreaterThan(900)
    for (const count of Object.values(outcomes)) expect(count).toBeGreaterThan(5)
  }
})

it('a power cut in a migration that goes on after a power cut does so too', async () => {
  const { outcomes, report } = await explore(['btree', 'lsm'], {
    seed: 42,
    everyNth: 9,
    fixedFates: ['e', 'k'],
    randomFates: 1,
    depth: 1,
    nested: { everyNth: 11, fixedFates: ['n', 'e'], randomFates: 1 }
  })
  expect(report.statesByDepth[1]).toBeGreaterThan(300)
  expect(outcomes.resumed).toBeGreaterThan(50)
})

const victim = '/victim'

/** What is to be copied, the half of a copy of something else, and a store that is neither. */
async function interruptedWorld(): Promise<MemVfs> {
  const vfs = new MemVfs()
  await makeStore(source, entries, { ...inMemory(vfs), backend: 'btree' })
  await makeStore('/other', someEntries(50, 8), { ...inMemory(vfs, 6), backend: 'lsm' })
  await makeStore(victim, someEntries(40, 9), { ...inMemory(vfs, 7), backend: 'lsm' })
  const controller = new AbortController()
  const given = { ...inMemory(vfs, 9), backend: 'lsm', signal: controller.signal } as const
  const onProgress = (done: number): void => (done >= 30 ? controller.abort() : undefined)
  await expect(
    copyBetween(migrated, '/other', destination, { ...given, onProgress }, smallBounds)
  ).rejects.toMatchObject({ code: 'KINTSUGI_ABORTED' })
  return vfs
}

it('a power cut while the copy of something else is cleared leaves what can be run again, and a store put over any of it is kept', async () => {
  const made = await interruptedWorld()
  const outcomes = { resumed: 0, anew: 0, complete: 0, refused: 0 }
  const report = await exploreCrashes<Fact>({
    seed: 43,
    everyNth: 2,
    fixedFates: ['n', 'e', 'k'],
    randomFates: 2,
    history: async ({ vfs, acknowledge, step }) => {
      for (const directory of [source, destination]) await plant(made, vfs, directory)
      vfs.syncDirectorySync('/')
      await step('copy')
      acknowledge('planted')
      await copy(vfs, 'lsm')
      acknowledge('copied')
    },
    check: async (clone, { acknowledged, recovered }) => {
      if (!acknowledged.includes('planted')) return
      const found = await openedOr(clone)
      if (typeof found !== 'string') {
        outcomes.complete++
        expect(found).toEqual(lines)
        return
      }
      // There is a marker at every moment, so nobody takes what is left for anything else.
      expect(found).toBe('KINTSUGI_UNFINISHED_COPY')
      const restored = clone.crashClone('everything')
      await plant(made, restored, victim, destination)
      for (const backend of ['lsm', 'btree'] as const) {
        const code = await failureCode(() => copy(restored, backend))
        expect(code).toBe('KINTSUGI_FOREIGN_DIRECTORY')
        expectKept(made, restored, victim, destination)
      }
      outcomes.refused++
      const { resumed } = await copy(clone, 'lsm')
      if (resumed) outcomes.resumed++
      else outcomes.anew++
      recovered()
      expect(await openedOr(clone)).toEqual(lines)
    }
  })
  console.log(`over another copy: ${JSON.stringify(outcomes)}, ${JSON.stringify(report)}`)
  expect(report.states).toBeGreaterThan(400)
  for (const count of Object.values(outcomes)) expect(count).toBeGreaterThan(2)
})
