import { describe, expect, it } from 'vitest'
import { pageHeaderBytes, PageHeader } from '../../../dist/backends/btree/format.js'
import { KeyGaps } from '../../../dist/backends/btree/key-gaps.js'
import type { Slab } from '../../../dist/backends/btree/page-memory.js'
import { SeededRandom } from '../../../dist/base/random.js'
import { fenceAt, isUnknown } from '../../../dist/page/edit.js'
import { freeBytes } from '../../../dist/page/read.js'
import { salvageTree } from '../../../dist/backends/btree/salvage.js'
import { zeroBlock } from '../../helpers/damage.js'
import { checkStructure, contextOf, Pair } from './tree-harness.js'

const path = '/tree/tree.pages'
const silent = { report: () => undefined, signal: undefined }

/** Calls back for the leaves in memory: where their sorted pages lie. */
function eachLeaf(pair: Pair, visit: (slab: Slab, region: number) => void): void {
  const { tree } = pair.backend
  const { pageTable } = tree.memory
  for (let pageNo = 2; pageNo < pageTable.length; pageNo++) {
    if (!(pageTable[pageNo] >= 0)) continue
    const slab = tree.slabOf(pageNo)
    const region = tree.regionOf(pageNo)
    if (slab.u8[region - pageHeaderBytes + PageHeader.level] === 0) visit(slab, region)
  }
}

/** Sides without a fence: at the tree's edges, and unknown. */
function sidesOf(pair: Pair): { leaves: number; open: number; unknown: number; full: number } {
  const sides = { leaves: 0, open: 0, unknown: 0, full: 0 }
  eachLeaf(pair, (slab, region) => {
    sides.leaves++
    if (freeBytes(slab, region) < 16) sides.full++
    for (const high of [false, true]) {
      const fence = fenceAt(slab, region, high)
      if (fence === undefined) sides.open++
      else if (isUnknown(fence)) sides.unknown++
    }
  })
  return sides
}

describe('the fences of leaves', () => {
  it('are there in full leaves too, whatever the order and size of what is put', async () => {
    let full = 0
    for (let seed = 1; seed <= 24; seed++) {
      const random = new SeededRandom(seed)
      const pair = await Pair.create({ pageBytes: 4096 })
      const prefix = 'p'.repeat([0, 3, 50, 80][seed % 4])
      for (let i = 0; i < 700; i++) {
        const index = [i, 900 - i, random.below(5000)][seed % 3]
        const key = `${prefix}${String(index).padStart(5, '0')}${'y'.repeat(random.below(40))}`
        await pair.put(key, Buffer.alloc(random.below(seed % 5 === 0 ? 800 : 50), 1))
      }
      checkStructure(pair.backend)
      const sides = sidesOf(pair)
      expect(sides, `seed ${seed}`).toMatchObject({ open: 2, unknown: 0 })
      full += sides.full
      expect(await pair.backend.verify('comprehensive', silent)).toEqual([])
      await pair.backend.close()
    }
    expect(full).toBeGreaterThan(20)
  })

  it('that find no room are unknown, and a salvage then ends the leaf at its own keys', async () => {
    const pair = await Pair.create({ pageBytes: 4096 })
    for (let index = 0; index < 900; index++) {
      await pair.put(String(1000 + index), Buffer.alloc(40, index))
    }
    let unknown = 0
    eachLeaf(pair, (slab, region) => {
      for (const high of [false, true]) {
        if (fenceAt(slab, region, high) === undefined) continue
        const { editor } = pair.backend.tree
        editor.setFence(slab, region, high, undefined)
        const room = freeBytes(slab, region)
        editor.setFence(slab, region, high, { key: Buffer.alloc(room - 3, 1), inexact: false })
        expect(isUnknown(fenceAt(slab, region, high)!)).toBe(true)
        expect(freeBytes(slab, region)).toBe(room)
        unknown++
      }
    })
    expect(unknown).toBeGreaterThan(10)
    await pair.persist()
    expect(await pair.backend.verify('comprehensive', silent)).toEqual([])
    const disk = pair.vfs.crashClone('nothing')
    zeroBlock(disk, path, pair.backend.tree.root * 4096, 4096)
    // The meta page of the empty tree: an older state without a gap would be taken.
    zeroBlock(disk, path, 4096, 4096)
    disk.mkdirSync('/new')
    const context = { ...contextOf(disk), directory: '/new' }
    const report = await salvageTree('/tree', context, silent)
    expect(report.entries).toBe(900)
    // Whether the neighbours meet cannot be told: every boundary is named.
    expect(report.lost).toHaveLength(unknown / 2)
    await pair.backend.close()
  })

  it('are part of a comprehensive verification', async () => {
    const changes = [
      undefined,
      { key: Buffer.from('00'), inexact: false },
      { key: Buffer.from('zz'), inexact: false },
      { key: Buffer.from('0'), inexact: true }
    ]
    for (const [i, fence] of changes.entries()) {
      const pair = await Pair.create({ pageBytes: 4096 })
      for (let index = 0; index < 300; index++) {
        await pair.put(String(1000 + index), Buffer.alloc(40))
      }
      let done = false
      eachLeaf(pair, (slab, region) => {
        if (done || fenceAt(slab, region, true) === undefined) return
        pair.backend.tree.editor.setFence(slab, region, true, fence)
        done = true
      })
      expect(done).toBe(true)
      await pair.persist()
      const findings = await pair.backend.verify('comprehensive', silent)
      expect(findings, `change ${i}`).toHaveLength(1)
      expect(findings[0]).toMatchObject({ severity: 'error', kind: 'page-contents' })
      expect(findings[0].message).toContain('high fence')
      expect(await pair.backend.verify('standard', silent)).toEqual([])
      await pair.backend.close()
    }
  })
})

describe('gaps in the keys', () => {
  const key = (text: string | undefined) => (text === undefined ? undefined : Buffer.from(text))
  const range = (low?: string, high?: string) => ({ low: key(low), high: key(high) })

  it('that overlap are one, and what is filled is gone from it', () => {
    const gaps = new KeyGaps([range('a', 'k'), range('c', 'e'), range('k', 'm'), range('p')])
    expect(gaps.ranges).toEqual([range('a', 'm'), range('p')])
    expect(gaps.fill(key('e'), key('q'))).toEqual([range('e', 'm'), range('p', 'q')])
    expect(gaps.ranges).toEqual([range('a', 'e'), range('q')])
    expect(gaps.fill(undefined, undefined)).toEqual([range('a', 'e'), range('q')])
    expect(gaps.ranges).toEqual([])
  })
})
