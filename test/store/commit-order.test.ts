import { expect, it } from 'vitest'
import { open } from '../../dist/index.js'
import { SeededRandom } from '../../dist/base/random.js'
import { SeededScheduler } from '../../dist/vfs/mem-scheduler.js'
import { MemVfs } from '../../dist/vfs/mem-vfs.js'

it('never acknowledges a synced put early because a weaker synchronous one overtakes it', async () => {
  const vfs = new MemVfs({ scheduler: new SeededScheduler(new SeededRandom(1), 'completion') })
  const db = await open('/store', { vfs })
  await db.put('warm', 'up')
  let acknowledged = false
  const put = db.put('a', '1').then(() => (acknowledged = true))
  // The group leaves on the next tick; its sync takes effect in a later turn.
  await new Promise<void>((resolve) => process.nextTick(resolve))
  db.putSync('b', '2', { durability: 'os' })
  await Promise.resolve()
  await Promise.resolve()
  const afterPowerCut = vfs.crashClone('nothing')
  const wasAcknowledged = acknowledged || String(db.getSync('a')) === '1'
  await put
  await db.close()

  expect(wasAcknowledged).toBe(true)
  const reopened = await open('/store', { vfs: afterPowerCut })
  expect(String(reopened.getSync('a'))).toBe('1')
  expect(await reopened.verify('comprehensive')).toEqual([])
  await reopened.close()
})
