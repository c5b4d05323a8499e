import { describe, expect, it } from 'vitest'
import { KintsugiError } from '../../dist/errors.js'
import type { FaultPlan } from '../../dist/vfs/fault-plan.js'
import { FaultVfs } from '../../dist/vfs/fault-vfs.js'
import { MacrotaskScheduler } from '../../dist/vfs/mem-scheduler.js'
import { MemVfs } from '../../dist/vfs/mem-vfs.js'
import { inspectLog } from '../../dist/wal/inspect.js'
import {
  type CleanMark,
  commit,
  contextOf,
  freshWitness,
  type Log,
  newLog,
  openLog,
  payloadOf,
  seqsOf,
  upTo
} from './log-fixture.js'

async function codeOf(action: () => Promise<unknown> | undefined): Promise<string> {
  try {
    await action()
    return 'none'
  } catch (error) {
    return error instanceof KintsugiError ? error.code : String(error)
  }
}

/** Every segment that a log of five synced commits and its successors may write to. */
async function withPlan(plan: FaultPlan): Promise<{ vfs: MemVfs; faults: FaultVfs; log: Log }> {
  const vfs = new MemVfs()
  const faults = new FaultVfs(vfs, plan)
  const log = await newLog(faults)
  return { vfs, faults, log }
}

const survivors = async (vfs: MemVfs, witness = {}) =>
  seqsOf(await openLog(vfs.crashClone('nothing'), witness))

describe('a failed sync or write (rules F1 to F3)', () => {
  it.each([
    ['sync', 'datasync', 'EIO'],
    ['sync for lack of space', 'datasync', 'ENOSPC'],
    ['write', 'write', 'EIO']
  ] as const)(
    'of a group moves everything kept to a new segment (%s)',
    async (_, operation, errno) => {
      for (let nth = 3; nth < 9; nth++) {
        const { vfs, log } = await withPlan([
          { operation, path: '/wal/000000000001.wal', nth, fault: { kind: 'error', errno } }
        ])
        for (let i = 0; i < 12; i++) {
          commit(log)
          if (i % 2) await log.sync()
          else await log.write()
        }
        await log.sync()
        expect(log.syncedSeq).toBe(12)
        expect(log.poison).toBeUndefined()
        expect(await survivors(vfs)).toEqual(upTo(12))
      }
    }
  )

  it('never syncs the poisoned file again', async () => {
    const { vfs, faults, log } = await withPlan([
      {
        operation: 'datasync',
        path: '/wal/000000000001.wal',
        nth: 4,
        fault: { kind: 'error', errno: 'EIO' }
      }
    ])
    for (let i = 0; i < 3; i++) {
      commit(log)
      await log.sync()
    }
    const touched: string[] = []
    vfs.onBeforeOperation(({ path }) => touched.push(path))
    for (let i = 0; i < 9; i++) {
      commit(log)
      await log.sync()
    }
    expect(faults.faults.fired.length).toBe(1)
    expect(touched).not.toContain('/wal/000000000001.wal')
  })

  // An opening after a clean close prepared a segment in the background; that failed to sync, and the
  // process was killed before it wrote anything. The next opening found the clean mark still true, and
  // took the file at the size it had in the page cache.
  it('of a file that was never used is remembered by no opening, so none believes it', async () => {
    const vfs = new MemVfs()
    const log = await newLog(vfs)
    commit(log)
    let cleanMark: CleanMark | undefined
    await log.close({ clean: true, stated: async (mark) => void (cleanMark = mark) })
    const names = vfs.readdirSync('/wal')
    const faults = new FaultVfs(vfs, [
      { operation: 'datasync', nth: 1, times: 0, fault: { kind: 'error', errno: 'EIO' } }
    ])
    await openLog(faults, { cleanMark })
    while (faults.faults.fired.length === 0) await new Promise((done) => setImmediate(done))
    const killed = vfs.killClone()
    expect(killed.readdirSync('/wal').length).toBeGreaterThan(names.length)
    const again = await openLog(killed, { cleanMark })
    expect(again.report.clean).toBe(true)
    commit(again.log!)
    await again.log!.sync()
    expect(await survivors(killed, { cleanMark })).toEqual(upTo(2))
  })

  it('fails with an unknown outcome when no new segment can be had, and goes on once it can', async () => {
    const { vfs, log } = await withPlan([
      {
        operation: 'datasync',
        path: '/wal/000000000001.wal',
        nth: 5,
        fault: { kind: 'error', errno: 'EIO' }
      },
      // Neither the preparation in advance nor the next six attempts find room.
      {
        operation: 'allocate',
        path: '/wal/*',
        nth: 2,
        times: 7,
        fault: { kind: 'error', errno: 'ENOSPC' }
      }
    ])
    for (let i = 0; i < 2; i++) {
      commit(log)
      await log.sync()
    }
    commit(log)
    await log.write()
    commit(log)
    expect(await codeOf(() => log.sync())).toBe('KINTSUGI_OUTCOME_UNKNOWN')
    // What was handed to the system stays; what was not is out of the log.
    expect(log.committedSeq).toBe(3)
    expect(log.poison).toBeDefined()
    for (let attempt = 0; attempt < 5; attempt++) {
      commit(log)
      expect(await codeOf(() => log.sync())).toBe('KINTSUGI_DISK_FULL')
      expect(log.committedSeq).toBe(3)
    }
    expect(vfs.readdirSync('/wal').length).toBeLessThan(4)
    commit(log)
    await log.sync()
    expect(await survivors(vfs)).toEqual(upTo(4))
  })

  it('never tells a waiting group that it succeeded when the one before took it along', async () => {
    const vfs = new MemVfs({ scheduler: new MacrotaskScheduler() })
    const failing = { kind: 'error', errno: 'EIO' } as const
    const log = await newLog(
      new FaultVfs(vfs, [
        { operation: 'datasync', path: '/wal/000000000001.wal', nth: 4, fault: failing },
        { operation: 'datasync', path: '/wal/000000000002.wal', nth: 2, fault: failing }
      ])
    )
    commit(log)
    await log.sync()
    await new Promise((resolve) => setTimeout(resolve, 5))
    commit(log)
    const inFlight = codeOf(() => log.sync())
    commit(log)
    const waiting = codeOf(() => log.sync())
    expect(await inFlight).toBe('KINTSUGI_OUTCOME_UNKNOWN')
    expect(await waiting).toBe('KINTSUGI_OUTCOME_UNKNOWN')
    expect(log.committedSeq).toBe(1)
    commit(log)
    await log.sync()
    expect(await survivors(vfs)).toEqual([1, 2])
  })

  it('believes a late error of a group that was overtaken (rules W9, F1)', async () => {
    const vfs = new MemVfs({ scheduler: new MacrotaskScheduler() })
    const faults = new FaultVfs(vfs, [
      {
        operation: 'datasync',
        path: '/wal/000000000001.wal',
        nth: 4,
        fault: { kind: 'error', errno: 'EIO' }
      }
    ])
    const log = await newLog(faults)
    commit(log)
    await log.sync()
    commit(log)
    const inFlight = log.sync()
    commit(log)
    log.syncSync()
    expect(log.syncedSeq).toBe(3)
    await inFlight
    expect(await survivors(vfs)).toEqual(upTo(3))
    commit(log)
    await log.sync()
    expect(await survivors(vfs)).toEqual(upTo(4))
    if (faults.faults.fired.length > 0) expect(log.segments().at(-1)!.number).toBeGreaterThan(1)
  })
})

describe('a full disk', () => {
  it('refuses commits that need a new segment, keeps all others, and goes on by itself', async () => {
    const { vfs, faults, log } = await withPlan([])
    commit(log)
    await log.sync()
    await log.retire(log.floorFor(0))
    faults.fillDisk()
    let refused = 0
    for (let i = 0; i < 200; i++) {
      const before = log.committedSeq
      commit(log, undefined, 300)
      const code = await codeOf(() => log.sync())
      if (code === 'none') continue
      expect(code).toBe('KINTSUGI_DISK_FULL')
      expect(log.committedSeq).toBe(before)
      refused++
    }
    expect(refused).toBeGreaterThan(100)
    const kept = log.syncedSeq
    expect(kept).toBe(log.committedSeq)
    faults.freeDisk()
    for (let i = 0; i < 20; i++) commit(log, undefined, 300)
    await log.sync()
    expect(await survivors(vfs)).toEqual(upTo(kept + 20))
  })
})

describe('a disk that is full in the middle of a commit larger than a segment', () => {
  /** Commit 1 is there, 2 was refused after its first parts were written. */
  async function refusedHalfWay() {
    const parts = await withPlan([])
    const { log, faults } = parts
    commit(log)
    await log.sync()
    // A blank for the next segment is there, the one after it cannot be had.
    while (log.stats().spares === 0) await new Promise((done) => setImmediate(done))
    faults.fillDisk()
    commit(log, undefined, 9000)
    expect(await codeOf(() => log.sync())).toBe('KINTSUGI_DISK_FULL')
    expect(log.committedSeq).toBe(1)
    expect(log.segments().length).toBe(2)
    return parts
  }

  it('leaves a log that closes cleanly, without a trace of the refused commit', async () => {
    const { vfs, log, faults } = await refusedHalfWay()
    const closed = { mark: undefined as CleanMark | undefined }
    await log.close({ clean: true, stated: async (mark) => void (closed.mark = mark) })
    expect(closed.mark).toMatchObject({ segment: log.segments().at(-1)!.number, seq: 1 })
    const replayed = await openLog(faults, { cleanMark: closed.mark! })
    expect(seqsOf(replayed)).toEqual([1])
    expect(replayed.report).toMatchObject({ clean: true, dropped: [], findings: [] })
    expect(replayed.report.commitsAbandoned).toBe(1)
    faults.freeDisk()
    commit(replayed.log!)
    await replayed.log!.sync()
    const witness = { cleanMark: closed.mark! }
    const again = await openLog(vfs.crashClone('nothing'), witness)
    expect(again.commits.map(({ payload }) => payload)).toEqual([payloadOf(1), payloadOf(2)])
    expect(again.report).toMatchObject({ dropped: [], findings: [] })
  })

  it('goes on behind the parts with the same number, and they are no finding', async () => {
    const { vfs, log, faults } = await refusedHalfWay()
    faults.freeDisk()
    commit(log)
    await log.sync()
    for (const clone of [vfs.killClone(), vfs.crashClone('nothing')]) {
      const replayed = await openLog(clone)
      expect(replayed.commits.map(({ payload }) => payload)).toEqual([payloadOf(1), payloadOf(2)])
      expect(replayed.report).toMatchObject({ dropped: [], findings: [], commitsAbandoned: 1 })
      const witness = { ...freshWitness, syncedSeq: 2 }
      const inspected = await inspectLog(contextOf(clone), witness)
      expect(inspected).toMatchObject({ losses: [], findings: [] })
    }
  })
})

describe('group commit', () => {
  it('lets who was just told ask for more while another group waits', async () => {
    const vfs = new MemVfs()
    const log = await newLog(vfs)
    commit(log)
    const first = log.sync()
    commit(log)
    const waiting = log.sync()
    const more = first.then(() => {
      commit(log)
      return log.sync()
    })
    await Promise.all([first, waiting, more])
    expect(log.syncedSeq).toBe(3)
    expect(await survivors(vfs)).toEqual(upTo(3))
  })

  it('closes behind a group that waits', async () => {
    const vfs = new MemVfs()
    const log = await newLog(vfs)
    commit(log)
    const first = log.sync()
    commit(log)
    const waiting = log.sync()
    const closed = first.then(() => log.close({ clean: true }))
    await Promise.all([first, waiting])
    expect(await closed).toMatchObject({ seq: 2 })
  })

  it('writes commits of one turn together and syncs once', async () => {
    const vfs = new MemVfs()
    const log = await newLog(vfs, { segmentBytes: 1024 * 1024 })
    for (let i = 0; i < 3; i++) {
      commit(log)
      await log.sync()
    }
    const before = vfs.operationCount
    for (let i = 0; i < 1000; i++) commit(log)
    await log.sync()
    // The zeros ahead, the thousand commits, the sync.
    expect(vfs.operationCount - before).toBe(3)
    commit(log)
    await log.sync()
    expect(vfs.operationCount - before).toBe(5)
  })

  it('syncs by itself when too much is unsynced (rule F2)', async () => {
    const vfs = new MemVfs()
    const log = await newLog(vfs, { segmentBytes: 1024 * 1024, maxUnsyncedBytes: 10_000 })
    for (let i = 0; i < 500; i++) {
      commit(log)
      await log.write()
      expect(log.stats().unsyncedBytes).toBeLessThan(10_200)
    }
    expect(log.syncedSeq).toBeGreaterThan(350)
  })

  it('keeps a payload where it is until it is released', async () => {
    const vfs = new MemVfs()
    const log = await newLog(vfs, { segmentBytes: 64 * 1024 })
    const kept: { buffer: Buffer; start: number; seq: number }[] = []
    for (let seq = 1; seq <= 3000; seq++) {
      const room = log.stage(200)
      payloadOf(seq, 200).copy(room.buffer, room.start)
      kept.push({ buffer: room.buffer, start: room.start, seq })
      log.commit(seq, 1, 1)
      if (seq % 50 === 0) await log.sync()
      if (seq % 700 === 0) {
        for (const at of kept.splice(0)) {
          const bytes = at.buffer.subarray(at.start, at.start + 200)
          expect(bytes.equals(payloadOf(at.seq, 200))).toBe(true)
        }
        log.release(seq)
      }
    }
  })

  it('retires nothing that the last unreleased large commit began in (rule B1)', async () => {
    const vfs = new MemVfs()
    const log = await newLog(vfs)
    commit(log)
    commit(log, undefined, 20_000)
    await log.sync()
    const floor = log.floorFor(1)
    await log.retire(floor)
    const witness = { floor, durableSeq: 1 }
    expect(await survivors(vfs, witness)).toEqual([2])
    for (let i = 0; i < 80; i++) commit(log)
    await log.sync()
    expect(log.floorFor(60).segment).toBeGreaterThan(floor.segment)
  })
})
