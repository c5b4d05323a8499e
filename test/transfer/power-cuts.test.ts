import { expect, it } from 'vitest'
import { open } from '../../dist/index.js'
import { MemVfs } from '../../dist/vfs/mem-vfs.js'
import { exploreCrashes, type ExplorerOptions } from '../helpers/crash-explorer.js'
import {
  contentsOf,
  copy,
  destination,
  inMemory,
  linesOf,
  makeStore,
  someEntries,
  source
} from './stores.js'

const entries = someEntries(60, 3)
const lines = linesOf(entries)

/** Puts the files of a store, durable, where nothing is yet. */
async function plant(from: MemVfs, to: MemVfs, directory: string): Promise<void> {
  to.mkdirSync(directory)
  for (const name of from.readdirSync(directory)) {
    const path = `${directory}/${name}`
    if (from.statSync(path)!.isDirectory) {
      await plant(from, to, path)
      continue
    }
    const file = to.openSync(path, 'create')
    file.writeSync(from.medium.read(path), 0)
    file.datasyncSync()
    file.closeSync()
  }
  to.syncDirectorySync(directory)
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
