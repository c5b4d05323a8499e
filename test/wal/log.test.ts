import { describe, expect, it } from 'vitest'
import { MemVfs } from '../../dist/vfs/mem-vfs.js'
import { commit, newLog, openLog, payloadOf, seqsOf, upTo } from './log-fixture.js'

describe('the log', () => {
  it('gives back after a power cut what was synced, in order, with its payload', async () => {
    const vfs = new MemVfs()
    const log = await newLog(vfs)
    for (let i = 0; i < 10; i++) commit(log)
    await log.sync()
    expect(log.syncedSeq).toBe(10)
    const replayed = await openLog(vfs.crashClone('nothing'))
    expect(seqsOf(replayed)).toEqual(upTo(10))
    for (const { seq, payload, count, timeMs } of replayed.commits) {
      expect([payload, count, timeMs]).toEqual([payloadOf(seq), 1, 1000 + seq])
    }
  })

  it('goes on after recovery with the next number, again and again', async () => {
    let vfs = new MemVfs()
    let log = await newLog(vfs)
    for (let round = 1; round <= 5; round++) {
      for (let i = 0; i < 10; i++) commit(log)
      await log.sync()
      vfs = vfs.crashClone('nothing')
      const replayed = await openLog(vfs)
      expect(seqsOf(replayed)).toEqual(upTo(round * 10))
      log = replayed.log!
      expect(log.committedSeq).toBe(round * 10)
    }
  })

  it('fills many segments, asynchronously and synchronously', async () => {
    for (const isSync of [false, true]) {
      const vfs = new MemVfs()
      const log = await newLog(vfs)
      for (let i = 0; i < 500; i++) {
        commit(log, undefined, 100)
        if (i % 7 !== 0) continue
        if (isSync) log.syncSync()
        else await log.sync()
        log.release(log.committedSeq)
      }
      log.syncSync()
      expect(log.segments().length).toBeGreaterThan(15)
      const replayed = await openLog(vfs.crashClone('nothing'))
      expect(seqsOf(replayed)).toEqual(upTo(500))
      expect(replayed.report.dropped).toEqual([])
    }
  })

  it('keeps commits larger than a segment whole', async () => {
    const vfs = new MemVfs()
    const log = await newLog(vfs)
    for (const bytes of [10, 20_000, 3456, 3457, 0, 100_000, 5]) commit(log, undefined, bytes)
    await log.sync()
    const replayed = await openLog(vfs.crashClone('nothing'))
    expect(replayed.commits.map(({ payload }) => payload.length)).toEqual([
      10, 20_000, 3456, 3457, 0, 100_000, 5
    ])
    for (const { seq, payload } of replayed.commits) {
      expect(payload.equals(payloadOf(seq, payload.length))).toBe(true)
    }
  })

  it('continues in the same segment after a clean close', async () => {
    const vfs = new MemVfs()
    const log = await newLog(vfs)
    for (let i = 0; i < 10; i++) commit(log)
    const cleanMark = await log.close({ clean: true })
    const replayed = await openLog(vfs.crashClone('nothing'), { cleanMark: cleanMark! })
    expect(replayed.report).toMatchObject({ clean: true, framesRewritten: 0, lastSeq: 10 })
    expect(replayed.log!.segments().map(({ number }) => number)).toEqual([1])
    commit(replayed.log!)
    await replayed.log!.sync()
  })
})
