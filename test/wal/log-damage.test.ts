import { describe, expect, it } from 'vitest'
import { KintsugiError } from '../../dist/errors.js'
import { MemVfs } from '../../dist/vfs/mem-vfs.js'
import { inspectLog } from '../../dist/wal/inspect.js'
import { flipBit, remove, restoreStaleBlock } from '../helpers/damage.js'
import {
  commit,
  contextOf,
  freshWitness,
  ManualClock,
  newLog,
  openLog,
  seqsOf,
  upTo
} from './log-fixture.js'

const first = '/wal/000000000001.wal'
/** A commit of 40 bytes takes 96; the first one begins at 512. */
const frameAt = (seq: number) => 512 + (seq - 1) * 96

/** Ten commits, each synced by itself: commit n states that n - 1 is synced. */
async function tenGroups(watermark = false): Promise<MemVfs> {
  const vfs = new MemVfs()
  const clock = new ManualClock()
  const log = await newLog(vfs, { watermarkDelayMs: 10 }, { clock })
  for (let i = 0; i < 10; i++) {
    commit(log)
    await log.sync()
  }
  if (watermark) for (let i = 0; i < 3; i++) clock.advance(10)
  return vfs
}

async function refusal(opening: Promise<unknown>): Promise<KintsugiError> {
  const outcome = await opening.then(
    () => undefined,
    (error: unknown) => error
  )
  expect(outcome).toBeInstanceOf(KintsugiError)
  return outcome as KintsugiError
}

describe('torn tail or lost data (rules W6 and W7)', () => {
  it('refuses every single bit flip in a commit that a later frame states as synced', async () => {
    const pristine = await tenGroups()
    let flips = 0
    for (let bit = frameAt(1) * 8; bit < frameAt(10) * 8; bit += 13) {
      const vfs = pristine.crashClone('everything')
      flipBit(vfs, first, bit)
      const seq = Math.floor((bit / 8 - 512) / 96) + 1
      const error = await refusal(openLog(vfs))
      expect(error.code).toBe('KINTSUGI_WAL_CORRUPTION')
      expect(error.facts).toMatchObject({ segment: 1, path: first, offset: frameAt(seq) })
      expect(error.facts.firstSeq).toBe(seq)
      expect(error.facts.lastSeq).toBeGreaterThanOrEqual(9)
      flips++
    }
    expect(flips).toBeGreaterThan(500)
  })

  it('reports a damaged last group without any witness as dropped: the honest limit', async () => {
    const vfs = await tenGroups()
    flipBit(vfs, first, (frameAt(10) + 60) * 8)
    const replayed = await openLog(vfs)
    expect(seqsOf(replayed)).toEqual(upTo(9))
    expect(replayed.report.dropped).toMatchObject([
      { reason: 'torn-tail', firstSeq: 10, lastSeq: 10, bytes: 96, offset: frameAt(10) }
    ])
  })

  it.each([
    ['the watermark', true, {}],
    ['a STORE slot', false, { syncedSeq: 10 }],
    [
      'the clean mark',
      false,
      { cleanMark: { segment: 1, offset: 1472, chainLow: 0, chainHigh: 0, seq: 10, epoch: 1 } }
    ]
  ])('refuses a damaged last group when %s states it', async (_, watermark, witness) => {
    const vfs = (await tenGroups(watermark)).crashClone('everything')
    flipBit(vfs, first, (frameAt(10) + 60) * 8)
    expect((await refusal(openLog(vfs, witness))).facts).toMatchObject({
      firstSeq: 10,
      lastSeq: 10
    })
  })

  it('reads over damage in what the backend has, and reports it', async () => {
    const vfs = await tenGroups()
    flipBit(vfs, first, (frameAt(4) + 60) * 8)
    const replayed = await openLog(vfs, { durableSeq: 7 })
    expect(seqsOf(replayed)).toEqual([8, 9, 10])
    expect(replayed.report.findings).toMatchObject([
      { kind: 'damage-below-durable', firstSeq: 4, lastSeq: 4 }
    ])
    expect(replayed.report.dropped).toEqual([])
  })

  it('loses nothing when only the watermark between two commits is damaged', async () => {
    const vfs = new MemVfs()
    const clock = new ManualClock()
    const log = await newLog(vfs, { watermarkDelayMs: 10 }, { clock })
    commit(log)
    await log.sync()
    for (let i = 0; i < 3; i++) clock.advance(10)
    commit(log)
    await log.sync()
    flipBit(vfs, first, (frameAt(2) + 20) * 8)
    const replayed = await openLog(vfs)
    expect(seqsOf(replayed)).toEqual([1, 2])
    expect(replayed.report.findings).toMatchObject([{ kind: 'damaged-marker' }])
  })

  it('refuses a sealed segment without its successor, whatever it held', async () => {
    const vfs = new MemVfs()
    const log = await newLog(vfs)
    for (let i = 0; i < 60; i++) commit(log)
    await log.sync()
    remove(vfs, '/wal/000000000002.wal')
    const error = await refusal(openLog(vfs))
    expect(error.code).toBe('KINTSUGI_WAL_CORRUPTION')
    expect(error.facts.segment).toBe(1)
  })

  it('refuses a log whose first segment, or the one that STORE names, is missing', async () => {
    const vfs = await tenGroups()
    expect((await refusal(openLog(vfs, { activeSegment: 2 }))).facts.segment).toBe(2)
    remove(vfs, first)
    expect((await refusal(openLog(vfs))).facts).toMatchObject({ segment: 1, firstSeq: 1 })
  })

  it('sees two histories of the same segment mixed together by the chain', async () => {
    const vfs = new MemVfs()
    const other = new MemVfs()
    // The same segment goes on twice, as in a copied directory: same salt, other commits.
    for (const [branch, fill] of [
      [vfs, 1],
      [other, 2]
    ] as const) {
      const log = await newLog(branch)
      for (let i = 0; i < 8; i++) commit(log)
      for (let seq = 9; seq <= 20; seq++) {
        const room = log.stage(40)
        room.buffer.fill(fill, room.start, room.end)
        log.commit(seq, 1, 1)
      }
      await log.sync()
    }
    // Frame 17 begins exactly at a sector, so every frame of the mixture proves itself.
    expect(frameAt(17) % 512).toBe(0)
    restoreStaleBlock(vfs, other, first, frameAt(17), 4096)
    const error = await refusal(openLog(vfs, { syncedSeq: 20 }))
    expect(error.facts).toMatchObject({ offset: frameAt(17), firstSeq: 17 })
    const replayed = await openLog(vfs)
    expect(seqsOf(replayed)).toEqual(upTo(16))
    expect(replayed.report.dropped).toMatchObject([{ firstSeq: 17, lastSeq: 20 }])
  })

  it('bridges a damaged watermark only to the frame that names it in the chain', async () => {
    const [vfs, other] = [new MemVfs(), new MemVfs()]
    for (const [branch, stepMs] of [
      [vfs, 10],
      [other, 11]
    ] as const) {
      const clock = new ManualClock()
      const log = await newLog(branch, { watermarkDelayMs: 10 }, { clock })
      commit(log)
      await log.sync()
      for (let i = 0; i < 3; i++) clock.advance(stepMs)
      commit(log)
      await log.sync()
    }
    const behind = frameAt(2) + 56
    restoreStaleBlock(vfs, other, first, behind, 4096 - behind)
    flipBit(vfs, first, (frameAt(2) + 20) * 8)
    const replayed = await openLog(vfs)
    expect(seqsOf(replayed)).toEqual([1])
    expect(replayed.report).toMatchObject({ findings: [], dropped: [{ firstSeq: 2, lastSeq: 2 }] })
  })

  it('bridges a damaged seal only to the segment that names what stood before it', async () => {
    const [vfs, other] = [new MemVfs(), new MemVfs()]
    for (const [branch, fill] of [
      [vfs, 1],
      [other, 2]
    ] as const) {
      const log = await newLog(branch)
      for (let seq = 1; seq <= 40; seq++) {
        const room = log.stage(40)
        room.buffer.fill(fill, room.start, room.end)
        log.commit(seq, 1, 1)
        await log.sync()
      }
    }
    const seal = frameAt(37)
    const whole = vfs.crashClone('everything')
    flipBit(whole, first, (seal + 20) * 8)
    const bridged = await openLog(whole)
    expect(seqsOf(bridged)).toEqual(upTo(40))
    expect(bridged.report.findings).toMatchObject([{ kind: 'damaged-marker', offset: seal }])
    // The same damage, but the first segment is one of another history.
    restoreStaleBlock(vfs, other, first, 0, 4096)
    flipBit(vfs, first, (seal + 20) * 8)
    const error = await refusal(openLog(vfs))
    expect(error.code).toBe('KINTSUGI_WAL_CORRUPTION')
    expect(error.facts).toMatchObject({ segment: 1, offset: seal, firstSeq: 37 })
  })

  it('takes an I/O error for an error and not for the end of the log (rule W5)', async () => {
    const { FaultVfs } = await import('../../dist/vfs/fault-vfs.js')
    const vfs = await tenGroups()
    for (let nth = 1; nth <= 2; nth++) {
      const faulty = new FaultVfs(vfs.crashClone('nothing'), [
        { operation: 'read', nth, fault: { kind: 'error', errno: 'EIO' } }
      ])
      expect((await refusal(openLog(faulty))).code).toBe('KINTSUGI_IO')
    }
  })
})

describe('recovery modes', () => {
  async function damagedAt(seq: number): Promise<MemVfs> {
    const vfs = (await tenGroups()).crashClone('everything')
    flipBit(vfs, first, (frameAt(seq) + 60) * 8)
    return vfs
  }

  it("'absolute' refuses even a torn tail, and opens an undamaged log", async () => {
    expect((await refusal(openLog(await damagedAt(10), {}, { mode: 'absolute' }))).code).toBe(
      'KINTSUGI_WAL_CORRUPTION'
    )
    expect(seqsOf(await openLog(await tenGroups(), {}, { mode: 'absolute' }))).toEqual(upTo(10))
  })

  it("'point-in-time' keeps the prefix, says what is gone, and never reuses its numbers", async () => {
    const vfs = await damagedAt(5)
    const replayed = await openLog(vfs, {}, { mode: 'point-in-time' })
    expect(seqsOf(replayed)).toEqual(upTo(4))
    expect(replayed.report.dropped).toMatchObject([{ reason: 'damage', firstSeq: 5 }])
    const next = commit(replayed.log!)
    expect(next).toBeGreaterThan(9)
    await replayed.log!.sync()
    const again = await openLog(vfs.crashClone('nothing'), { activeSegment: 2 })
    expect(seqsOf(again)).toEqual([...upTo(4), next])
    expect(again.report.findings).toMatchObject([{ kind: 'earlier-loss', firstSeq: 5 }])
  })

  it("'point-in-time' refuses when the backend is past the damage and cannot bridge it", async () => {
    const mode = 'point-in-time'
    const vfs = await damagedAt(5)
    for (const seq of [6, 7]) flipBit(vfs, first, (frameAt(seq) + 60) * 8)
    const bridged = await openLog(vfs.crashClone('everything'), { durableSeq: 7 }, { mode })
    expect(seqsOf(bridged)).toEqual([8, 9, 10])
    expect((await refusal(openLog(vfs, { durableSeq: 6 }, { mode }))).code).toBe(
      'KINTSUGI_WAL_CORRUPTION'
    )
  })

  it("'skip-any' delivers everything intact and reports every gap", async () => {
    const vfs = await damagedAt(3)
    flipBit(vfs, first, (frameAt(7) + 60) * 8)
    const replayed = await openLog(vfs, {}, { mode: 'skip-any' })
    expect(seqsOf(replayed)).toEqual([1, 2, 4, 5, 6, 8, 9, 10])
    expect(replayed.report.dropped.map(({ firstSeq }) => firstSeq)).toEqual([3, 7])
  })

  it('reading only changes nothing', async () => {
    const vfs = await tenGroups()
    const before = vfs.operationCount
    const replayed = await openLog(vfs, {}, { readOnly: true })
    expect(seqsOf(replayed)).toEqual(upTo(10))
    expect(replayed.log).toBeUndefined()
    expect(vfs.operationCount).toBe(before)
  })

  it('an inspection lists segments, losses and findings and changes nothing', async () => {
    const vfs = await damagedAt(5)
    const before = vfs.operationCount
    const found = await inspectLog(contextOf(vfs), freshWitness)
    expect(found).toMatchObject({ firstSeq: 1, lastSeq: 10, commits: 9 })
    expect(found.losses).toMatchObject([{ firstSeq: 5, reason: 'damage' }])
    expect(found.segments[0]).toMatchObject({ number: 1, state: 'live', link: 'first' })
    expect(vfs.operationCount).toBe(before)
  })
})
