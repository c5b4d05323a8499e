import fs from 'node:fs'
import { ClassicLevel } from 'classic-level'
import { afterEach, describe, expect, it, vi } from 'vitest'
import { open, repair } from '../../../dist/index.js'
import { failure, useStores } from '../../helpers/store.js'
import { TestClock } from '../../helpers/test-clock.js'
import { forgetOwner } from '../../helpers/forget-owner.js'

const stores = useStores()
const keys = 600
const keyOf = (i: number) => `k${i}`.padStart(8, '0')

afterEach(() => vi.restoreAllMocks())

/** A store as it is when the power goes after the first part of a persist has come to the disk. */
async function cutInPersist(): Promise<string> {
  const path = stores.directory()
  const cut = stores.directory()
  // No time passes: nothing is written to the log behind the last commit.
  const store = await stores.disk(path, { backend: 'level', clock: new TestClock() })
  const operations = Array.from({ length: keys }, (_, i) => {
    return { type: 'put', key: keyOf(i), value: `${i}`.repeat(500) } as const
  })
  await store.batch(operations, { durability: 'sync' })
  let batches = 0
  // oxlint-disable-next-line typescript/unbound-method
  const batch = ClassicLevel.prototype.batch as (...args: unknown[]) => unknown
  vi.spyOn(ClassicLevel.prototype, 'batch').mockImplementation(function (
    this: unknown,
    ...args: unknown[]
  ) {
    if (++batches === 2) fs.cpSync(path, cut, { recursive: true })
    return batch.apply(this, args) as never
  } as never)
  await store.persist()
  expect(batches).toBeGreaterThan(2)
  await store.close()
  forgetOwner(cut)
  for (const lock of ['LOCK', 'level-1/db/LOCK']) fs.rmSync(`${cut}/${lock}`, { force: true })
  return cut
}

/** Flips a bit in the last bytes that are not zero of the only segment. */
function damageLastGroup(path: string): void {
  const [name] = fs.readdirSync(`${path}/wal`).filter((each) => each.endsWith('.wal'))
  const file = `${path}/wal/${name}`
  const bytes = fs.readFileSync(file)
  let end = bytes.length
  while (bytes[end - 1] === 0) end--
  bytes[end - 100]! ^= 1
  fs.writeFileSync(file, bytes)
}

describe('a persist that the power cut short', () => {
  it('shows all of its commits, from the log', async () => {
    const path = await cutInPersist()
    const store = await stores.disk(path, { backend: 'level' })
    for (let i = 0; i < keys; i++) expect(store.getSync(keyOf(i))).toHaveLength(`${i}`.length * 500)
  })

  it('refuses to open when the log is damaged there, and never shows half a batch in silence', async () => {
    const path = await cutInPersist()
    damageLastGroup(path)
    const error = await failure(() => stores.disk(path, { backend: 'level' }))
    expect(error).toMatchObject({
      code: 'KINTSUGI_WAL_CORRUPTION',
      facts: { firstSeq: 1, lastSeq: 1 }
    })
  })

  it('names the loss when it is opened nevertheless', async () => {
    const path = await cutInPersist()
    damageLastGroup(path)
    const store = await open(path, { backend: 'level', walRecoveryMode: 'skip-any' })
    const { droppedFirstSeq, warnings } = store.recovery
    await store.close()
    expect(droppedFirstSeq).toBe(1)
    expect(warnings.join()).toContain('damage, commits 1 to 1 are not there')
  })

  it('has the loss in the report of a repair', async () => {
    const path = await cutInPersist()
    damageLastGroup(path)
    const { lostCommits } = await repair(path)
    expect(lostCommits).toMatchObject([{ reason: 'damage', firstSeq: 1, lastSeq: 1 }])
  })
})
