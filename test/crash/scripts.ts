import type { ReferenceOperation } from '../model/reference.js'
import type { Script } from './script.js'

/** Histories that between them reach every order of writes the engine has. */

const puts = (script: Script, prefix: string, count: number, bytes: number): ReferenceOperation[] =>
  Array.from({ length: count }, (_, i) => ({
    type: 'put',
    key: `${prefix}${i}`,
    value: script.value(bytes)
  }))

/** One commit after the other; log segments switch every few commits. */
export async function singleWrites(script: Script): Promise<void> {
  for (let i = 0; i < 30; i++) {
    await script.step(`put ${i}`)
    await script.put(`key${i % 17}`, 10 + ((i * 131) % 900))
    if (i % 5 === 4) await script.del(`key${(i * 3) % 17}`)
    if (i === 12 || i === 24) {
      await script.step('persist')
      await script.persist()
    }
  }
  await script.step('idle')
  await script.pass(30)
}

/** Commits that are larger than a segment, large values, and ranges that are cleared. */
export async function largeBatches(script: Script): Promise<void> {
  for (let i = 0; i < 4; i++) {
    await script.step(`batch ${i}`)
    await script.batch(puts(script, `batch${i}/`, 12, 700))
    await script.put('large', 9000 + i)
    await script.step(`clear ${i}`)
    await script.clear({ gte: `batch${i}/3`, lt: `batch${i}/7` })
  }
  await script.step('persist')
  await script.persist()
  await script.put('large', 20_000)
  await script.clear({})
  await script.put('last', 10)
}

/** Commits of every durability at once, in groups, with blocking ones in between. */
export async function mixedDurability(script: Script): Promise<void> {
  for (let i = 0; i < 22; i++) {
    await script.step(`group ${i}`)
    script.start(puts(script, `a${i}/`, 2, 200), 'memory')
    script.start(puts(script, `b${i}/`, 1, 300), 'os')
    script.start(puts(script, `c${i}/`, 1, 100), 'sync')
    script.start(puts(script, `d${i}/`, 1, 400), 'memory')
    if (i % 2 === 1) script.batchSync(puts(script, `e${i}/`, 1, 50), i % 4 === 1 ? 'sync' : 'os')
    script.start(puts(script, `f${i}/`, 1, 60), 'os')
    await script.settled()
    if (i % 3 === 2) await script.pass(150)
    if (i % 4 === 2) {
      // The log has to be synced before the backend's pages are (rule W8).
      await script.step(`persist ${i}`)
      script.start(puts(script, `g${i}/`, 2, 300), 'memory')
      script.start(puts(script, `h${i}/`, 1, 200), 'os')
      await script.persist()
    }
  }
  await script.step('flush')
  await script.flush()
}

/** Persists and compaction while commits go on and a snapshot holds old pages. */
export async function persistsUnderLoad(script: Script): Promise<void> {
  for (let i = 0; i < 6; i++) {
    await script.batch(puts(script, `base${i}/`, 8, 600))
  }
  for (let round = 0; round < 4; round++) {
    await script.step(`round ${round}`)
    const snapshot = script.store.snapshot()
    const persisting = round === 2 ? script.compact() : script.persist()
    for (let i = 0; i < 6; i++) {
      await script.put(`base${(round + i) % 6}/${i}`, 500 + 40 * i)
    }
    await persisting
    if (round % 2 === 1) await script.clear({ gte: `base${round}/`, lt: `base${round}/5` })
    snapshot.close()
  }
}

/** Closing and opening again, so that every kind of file is made, kept and given up. */
export async function reopenings(script: Script): Promise<void> {
  for (let i = 0; i < 5; i++) {
    await script.step(`opening ${i}`)
    await script.batch(puts(script, `round${i}/`, 3, 500))
    if (i % 2 === 0) await script.put(`single${i}`, 1500, 'os')
    await script.reopen()
  }
}

/** Nothing but the creation of a store. */
export async function creation(script: Script): Promise<void> {
  await script.step('created')
}

/** Keys that are written over and over, removed and cleared, so that what lies deep is dead. */
export async function churn(script: Script): Promise<void> {
  for (let round = 0; round < 7; round++) {
    await script.step(`round ${round}`)
    for (let i = 0; i < 4; i++) {
      script.start(puts(script, `churn${(round + i) % 5}/`, 9, 450))
    }
    await script.settled()
    script.start([{ type: 'clear', gte: `churn${round % 5}/2`, lt: `churn${round % 5}/6` }])
    script.start([
      { type: 'del', key: `churn${(round + 1) % 5}/1` },
      { type: 'del', key: 'never there' },
      { type: 'put', key: `churn${round % 5}/3`, value: script.value(5000) }
    ])
    await script.settled()
    if (round === 4) await script.compact({ gte: 'churn1/', lt: 'churn3/' })
  }
  await script.compact()
}

/** Views held while what they show is overwritten, removed, persisted and compacted away. */
export async function viewsHeld(script: Script): Promise<void> {
  for (let i = 0; i < 3; i++) await script.batch(puts(script, `view${i}/`, 8, 400))
  for (let round = 0; round < 5; round++) {
    await script.step(`round ${round}`)
    script.hold()
    await script.batch(puts(script, `view${round % 3}/`, 8, 500 + round))
    await script.del(`view${(round + 1) % 3}/${round}`)
    if (round % 2 === 0) await script.clear({ gt: `view${round % 3}/4`, lte: `view${round % 3}/6` })
    const persisting = round === 3 ? script.compact() : script.persist()
    await script.batch(puts(script, `other${round}/`, 10, 700))
    await persisting
    if (round >= 2) script.release()
  }
  await script.step('without views')
  script.release()
  script.release()
  await script.compact()
}

/** Many small persists: the record of what is live grows, and begins anew. */
export async function manyPersists(script: Script): Promise<void> {
  for (let i = 0; i < 24; i++) {
    await script.step(`persist ${i}`)
    await script.put(`key${i % 6}`, 30 + i)
    if (i % 5 === 4) await script.del(`key${(i + 2) % 6}`)
    await script.persist()
  }
}
