import assert from 'node:assert/strict'
import { SeededRandom } from '../../../../dist/base/random.js'
import { open, repair, type RepairReport } from '../../../../dist/index.js'
import { MemVfs } from '../../../../dist/vfs/mem-vfs.js'
import { tinyOptions } from '../../../helpers/backends.js'
import {
  compareWithHistory,
  type Contents,
  type Differences
} from '../../../helpers/repair-losses.js'
import { TestClock } from '../../../helpers/test-clock.js'

export const path = '/store'
export const dataPath = `${path}/lsm-1`

const options = {
  ...tinyOptions,
  compactionThreshold: 4,
  backend: 'lsm'
} as const

export function openAt(vfs: MemVfs, readOnly = false) {
  return open(path, {
    ...options,
    vfs,
    clock: new TestClock(),
    random: new SeededRandom(5),
    readOnly
  })
}

/** A store at rest, with what it holds and ever held. */
export interface Specimen extends Contents {
  readonly vfs: MemVfs
  /** The same store before its last compactions. */
  readonly older: MemVfs
}

export interface SpecimenShape {
  readonly seed: number
  readonly commits: number
  readonly closed: boolean
}

/** Overwrites, removed keys, removed ranges, large values; several levels, and commits in the log alone. */
export async function makeSpecimen({ seed, commits, closed }: SpecimenShape): Promise<Specimen> {
  const vfs = new MemVfs()
  const clock = new TestClock()
  const random = new SeededRandom(seed)
  const store = await open(path, { ...options, vfs, clock, random: new SeededRandom(seed) })
  const entries = new Map<string, Buffer>()
  const history = new Map<string, Buffer[]>()
  let older: MemVfs | undefined
  for (let i = 0; i < commits; i++) {
    const key = keyOf(random.below(600))
    const kind = random.below(20)
    if (kind === 0) {
      const low = random.below(590)
      const [gte, lt] = [keyOf(low), keyOf(low + 10)]
      await store.clear({ gte, lt })
      for (const each of entries.keys()) if (each >= gte && each < lt) entries.delete(each)
    } else if (kind < 4) {
      await store.del(key)
      entries.delete(key)
    } else {
      const value = Buffer.alloc(random.chance(1, 40) ? 3000 : 20 + random.below(200))
      random.fill(value)
      await store.put(key, value)
      entries.set(key, value)
      history.set(key, [...(history.get(key) ?? []), value])
    }
    if (i % 70 === 69) await store.persist()
    if (i % 100 === 99) await clock.run(20)
    if (i === commits - 250) older = vfs.crashClone('everything')
    if (i === commits - 20) await store.persist()
  }
  await clock.run(30)
  if (closed) await store.close()
  return { vfs: vfs.crashClone('everything'), older: older!, entries, history }
}

export function keyOf(index: number): string {
  return `key${String(index).padStart(4, '0')}`
}

export function filesOf(vfs: MemVfs, pattern: RegExp): string[] {
  return vfs.medium.paths().filter((file) => file.startsWith(dataPath) && pattern.test(file))
}

/** All files and their contents. */
export function pictureOf(vfs: MemVfs): Map<string, string> {
  // What a lock's owner writes about itself is no part of the store.
  const paths = vfs.medium.paths().filter((file) => !file.endsWith('/LOCK'))
  return new Map(paths.map((file) => [file, vfs.medium.read(file).toString('latin1')]))
}

export function repairAt(
  vfs: MemVfs,
  plan: { dryRun?: boolean; rebuildManifest?: boolean } = {}
): Promise<RepairReport> {
  return repair(path, { vfs, clock: new TestClock(), random: new SeededRandom(6), ...plan })
}

export interface Outcome extends Differences {
  readonly report: RepairReport
}

/**
 * Repairs a damaged copy, dry first, and holds the result against what was in the store: what is
 * not as it was has to lie in a range that the report names.
 */
export async function repairAndJudge(
  specimen: Specimen,
  vfs: MemVfs,
  plan: { rebuildManifest?: boolean } = {}
): Promise<Outcome> {
  const before = pictureOf(vfs)
  const dry = await repairAt(vfs, { ...plan, dryRun: true })
  assert.deepEqual(pictureOf(vfs), before, 'a dry run has changed something')
  const report = await repairAt(vfs, plan)
  assert.deepEqual(report.lost, dry.lost, 'the dry run had told of other losses')
  assert.equal(report.entries, dry.entries)
  for (const [file, bytes] of before) {
    if (!report.rebuilt || !file.startsWith(dataPath)) continue
    const kept = file.replace(dataPath, report.quarantine!)
    assert.equal(vfs.medium.read(kept).toString('latin1'), bytes, `${file} is not in quarantine`)
  }
  const store = await openAt(vfs)
  try {
    assert.deepEqual(await store.verify('comprehensive'), [])
    const found = new Map<string, Buffer>()
    for (const [key, value] of store.entries()) found.set(key.toString(), value)
    assert.equal(report.entries, found.size, 'the report counts other entries')
    return { report, ...compareWithHistory(specimen, found, report) }
  } finally {
    await store.close()
  }
}
