import { describe, expect, it } from 'vitest'
import { FaultVfs } from '../../../../dist/vfs/fault-vfs.js'
import type { FaultPlan } from '../../../../dist/vfs/fault-plan.js'
import { MemVfs } from '../../../../dist/vfs/mem-vfs.js'
import { Manifest } from '../../../../dist/backends/lsm/manifest/manifest.js'
import {
  codeOf,
  contextOf,
  created,
  errorOf,
  newDirectory,
  opened,
  shapeOf,
  stateOf,
  tableOf
} from './fixture.js'

/** Edits until the manifest has rolled so often. */
async function rollOften(manifest: Manifest, times: number, from = 1): Promise<number> {
  let number = from
  for (; (manifest.stats().manifestRolls ?? 0) < times; number++) {
    const removed = manifest.version.table(number - 1) ? [number - 1] : []
    await manifest.append({ added: [tableOf(number)], removed, durableSeq: number })
    const { obsolete } = manifest.version
    await manifest.append({ retired: obsolete.map((table) => table.number) })
    manifest.forget(obsolete.map((table) => table.number))
    expect(number).toBeLessThan(1000)
  }
  return number - 1
}

describe('a manifest', () => {
  it('opens as what was appended, clean or not', async () => {
    const { vfs, manifest } = await created()
    await manifest.append({ added: [tableOf(3)], durableSeq: 10, nextTable: 20 })
    await manifest.append({ added: [tableOf(4, 1)], removed: [3] })
    const expected = shapeOf(manifest.version)
    const crashed = await opened(vfs.crashClone('nothing'))
    expect(shapeOf(crashed.version)).toEqual(expected)
    expect(crashed.recovery?.clean).toBe(false)
    await manifest.close(true)
    const again = await opened(vfs.crashClone('nothing'))
    expect(shapeOf(again.version)).toEqual(expected)
    expect(again.recovery?.clean).toBe(true)
    expect(again.version.obsolete.map(({ number }) => number)).toEqual([3])
  })

  it('applies edits of one turn in order and in one write', async () => {
    const { vfs, manifest } = await created()
    let syncs = 0
    vfs.onBeforeOperation(({ kind }) => void (syncs += Number(kind === 'datasync')))
    await Promise.all([
      manifest.append({ added: [tableOf(1)], durableSeq: 1 }),
      manifest.append({ added: [tableOf(2)], durableSeq: 2 }),
      manifest.append({ added: [tableOf(3, 1)], removed: [1, 2] })
    ])
    expect(syncs).toBe(1)
    expect(stateOf(manifest.version)).toBe('2:  | 3')
    expect(stateOf((await opened(vfs.crashClone('nothing'))).version)).toBe('2:  | 3')
  })

  it('refuses an edit that does not fit, and goes on', async () => {
    const { manifest } = await created()
    await manifest.append({ added: [tableOf(1, 1)], durableSeq: 5 })
    for (const edit of [
      { removed: [9] },
      { durableSeq: 4 },
      { added: [tableOf(2, 1)] },
      { added: [tableOf(1, 2)] },
      { retired: [1] },
      { nextTable: 1 }
    ]) {
      expect(await codeOf(() => manifest.append(edit))).toBe('KINTSUGI_INTERNAL')
    }
    await manifest.append({ added: [tableOf(2)] })
    expect(stateOf(manifest.version)).toBe('5: 2 | 1')
  })

  it('retires a table only after the edit that replaced it is synced', async () => {
    const { manifest } = await created()
    await manifest.append({ added: [tableOf(1)] })
    const removing = manifest.append({ added: [tableOf(2)], removed: [1] })
    const retiring = codeOf(() => manifest.append({ retired: [1] }))
    await removing
    expect(await retiring).toBe('KINTSUGI_INTERNAL')
    await manifest.append({ retired: [1] })
    expect(manifest.version.retired.map(({ number }) => number)).toEqual([1])
    expect(await codeOf(() => manifest.append({ retired: [1] }))).toBe('KINTSUGI_INTERNAL')
    manifest.forget([1])
    expect(manifest.version.leftovers).toEqual([])
  })

  it('acknowledges what is durable with the next synced edit, and not before', async () => {
    const { manifest } = await created()
    await manifest.append({ added: [tableOf(1)], durableSeq: 5 })
    expect(manifest.acknowledgedSeq).toBe(0)
    await manifest.append({ added: [tableOf(2)], durableSeq: 9 })
    expect(manifest.acknowledgedSeq).toBe(5)
    await manifest.acknowledge()
    expect(manifest.acknowledgedSeq).toBe(9)
    const edits = manifest.stats().manifestEdits
    await manifest.acknowledge()
    expect(manifest.stats().manifestEdits).toBe(edits)
  })

  it('rolls: the segments before a snapshot go, and nothing is forgotten', async () => {
    const { vfs, manifest } = await created()
    const last = await rollOften(manifest, 6)
    expect(manifest.stats().manifestSegments).toBeLessThan(5)
    const files = vfs.readdirSync('/lsm/manifest')
    expect(files.length).toBeLessThan(9)
    const again = await opened(vfs.crashClone('nothing'))
    expect(stateOf(again.version)).toBe(stateOf(manifest.version))
    // That a retired table's file is gone is not written down before the next snapshot.
    expect(again.version.leftovers.length).toBeLessThan(60)
    await again.append({ added: [tableOf(last + 1)] })
    expect(again.version.tableCount).toBe(2)
  })

  it('holds versions larger than a segment', async () => {
    const { vfs, manifest } = await created()
    for (let number = 1; number < 80; number += 4) {
      const added = [0, 1, 2, 3].map((i) =>
        tableOf(number + i, 1, `${1000 + number + i}`.padEnd(60), `${1001 + number + i}`)
      )
      await manifest.append({ added, durableSeq: number })
    }
    expect(manifest.stats().manifestRolls).toBeGreaterThan(0)
    expect(shapeOf((await opened(vfs.crashClone('nothing'))).version)).toEqual(
      shapeOf(manifest.version)
    )
    await manifest.close(true)
    expect(shapeOf((await opened(vfs)).version)).toEqual(shapeOf(manifest.version))
  })

  it('takes no edits when closed or read-only, and writes nothing read-only', async () => {
    const { vfs, manifest } = await created()
    await manifest.append({ added: [tableOf(1)] })
    for (const clean of [false, true]) {
      await manifest.close(clean)
      expect(await codeOf(() => manifest.append({}))).toBe('KINTSUGI_NOT_OPEN')
      const before = vfs.operationCount
      const reader = await opened(vfs, { readOnly: true })
      expect(stateOf(reader.version)).toBe('0: 1')
      expect(await codeOf(() => reader.append({}))).toBe('KINTSUGI_READ_ONLY')
      await reader.close(true)
      expect(vfs.operationCount).toBe(before)
    }
  })

  it('closes after what was asked for before', async () => {
    const { vfs, manifest } = await created()
    const appending = manifest.append({ added: [tableOf(1)] })
    await manifest.close(true)
    await appending
    expect(stateOf((await opened(vfs)).version)).toBe('0: 1')
  })
})

describe('an append that fails', () => {
  async function failing(plan: FaultPlan) {
    const vfs = new MemVfs()
    newDirectory(vfs)
    const faults = new FaultVfs(vfs, plan)
    const manifest = await Manifest.create(contextOf(faults))
    return { vfs, faults, manifest }
  }

  it('is written elsewhere when one file fails', async () => {
    const { vfs, manifest } = await failing([
      { operation: 'datasync', path: '*.wal', nth: 5, fault: { kind: 'error', errno: 'EIO' } }
    ])
    for (let i = 1; i < 9; i++) await manifest.append({ added: [tableOf(i)], durableSeq: i })
    expect(stateOf((await opened(vfs.crashClone('nothing'))).version)).toBe('8: 8 7 6 5 4 3 2 1')
  })

  it('is not installed, may be appended again, and other edits may go first', async () => {
    const { vfs, faults, manifest } = await failing([])
    await manifest.append({ added: [tableOf(1)], durableSeq: 1 })
    faults.fillDisk()
    const codes: string[] = []
    // The segment that is there takes some edits yet; the next one cannot be made.
    for (let i = 2; i < 60; i++) {
      codes.push(await codeOf(() => manifest.append({ added: [tableOf(i)], durableSeq: i })))
    }
    expect(new Set(codes)).toEqual(new Set(['none', 'KINTSUGI_DISK_FULL']))
    const installed = manifest.version.tableCount
    expect(codes.indexOf('KINTSUGI_DISK_FULL')).toBe(installed - 1)
    expect(manifest.version.durableSeq).toBe(installed)
    expect((await opened(vfs.crashClone('nothing'))).version.tableCount).toBe(installed)
    faults.freeDisk()
    await manifest.append({ added: [tableOf(90)], durableSeq: 90 })
    await manifest.append({ added: [tableOf(installed + 1)] })
    expect((await opened(vfs.crashClone('nothing'))).version.tableCount).toBe(installed + 2)
  })

  it('leaves a doubt that settling resolves', async () => {
    const { vfs, manifest } = await failing([
      {
        operation: 'datasync',
        nth: 9,
        times: 6,
        fault: { kind: 'error', errno: 'EIO', afterEffect: true }
      }
    ])
    let failed = 0
    for (let i = 1; failed === 0; i++) {
      const code = await codeOf(() => manifest.append({ added: [tableOf(i)], durableSeq: i }))
      if (code !== 'none') failed = i
    }
    expect(manifest.isInDoubt).toBe(true)
    for (let i = 0; i < 9 && manifest.isInDoubt; i++) await codeOf(() => manifest.settle())
    expect(manifest.isInDoubt).toBe(false)
    for (const fate of ['nothing', 'everything'] as const) {
      const { version } = await opened(vfs.crashClone(fate))
      expect(version.tableCount).toBe(failed - 1)
    }
  })

  it('to roll is reported and tried again', async () => {
    const { vfs, manifest } = await failing([
      {
        operation: 'rename',
        path: '*CURRENT',
        nth: 2,
        times: 2,
        fault: { kind: 'error', errno: 'EIO' }
      }
    ])
    for (let i = 1; manifest.stats().manifestRollFailures === 0; i++) {
      await manifest.append({
        added: [tableOf(i)],
        removed: manifest.version.table(i - 1) ? [i - 1] : []
      })
    }
    expect(manifest.rollError).toMatchObject({ code: 'KINTSUGI_IO' })
    const from = manifest.version.nextTable
    const last = await rollOften(manifest, 1, from)
    expect(manifest.rollError).toBeUndefined()
    expect(manifest.stats().manifestRollFailures).toBe(2)
    expect((await opened(vfs.crashClone('nothing'))).version.table(last)).toBeDefined()
  })
})

describe('opening', () => {
  it('refuses without CURRENT and names what to run', async () => {
    const { vfs, manifest } = await created()
    await manifest.close(true)
    vfs.medium.remove('/lsm/CURRENT')
    const before = vfs.operationCount
    const error = await errorOf(() => opened(vfs))
    expect(error.code).toBe('KINTSUGI_CORRUPTION')
    expect(error.facts.path).toBe('/lsm/CURRENT')
    expect(error.message).toContain('kintsugi rebuild-manifest')
    expect(vfs.operationCount).toBe(before)
  })

  it('refuses a CURRENT of another store', async () => {
    const { vfs, manifest } = await created()
    await manifest.close(true)
    const other = await codeOf(() => opened(vfs, { storeId: Buffer.alloc(16, 9) }))
    expect(other).toBe('KINTSUGI_CORRUPTION')
  })

  it('refuses without the segments, and names what to run', async () => {
    const { vfs, manifest } = await created()
    await manifest.append({ added: [tableOf(1)] })
    await manifest.close(true)
    for (const name of vfs.readdirSync('/lsm/manifest')) {
      const clone = vfs.crashClone('everything')
      clone.medium.remove(`/lsm/manifest/${name}`)
      const error = await errorOf(() => opened(clone))
      expect(error.code).toBe('KINTSUGI_CORRUPTION')
      expect(error.facts.path).toContain('/lsm/manifest')
      expect(error.message).toContain('kintsugi rebuild-manifest')
    }
  })

  it('writes to no segment that it read, and again removes what an interrupted opening left', async () => {
    const { vfs, manifest } = await created()
    await manifest.append({ added: [tableOf(1)], durableSeq: 3 })
    let state = vfs.crashClone('everything')
    for (let i = 2; i < 12; i++) {
      const again = await opened(state, { epoch: i })
      expect(stateOf(again.version)).toBe('3: 1')
      expect(again.acknowledgedSeq).toBe(3)
      state = state.crashClone(i % 2 ? 'everything' : 'nothing')
    }
    expect(state.readdirSync('/lsm/manifest').length).toBeLessThan(16)
  })
})
