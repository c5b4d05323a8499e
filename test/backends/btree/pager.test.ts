import { describe, expect, it } from 'vitest'
import { MemVfs } from '../../../dist/vfs/mem-vfs.js'
import { ToyTree, toyOptions } from './toy-tree.js'

function newVfs(): MemVfs {
  const vfs = new MemVfs()
  vfs.mkdirSync('/btree')
  return vfs
}

describe('a pager', () => {
  it('reads back after reopening what was persisted', async () => {
    const vfs = newVfs()
    const tree = await ToyTree.create(toyOptions(vfs), 3)
    for (let i = 0; i < tree.capacity; i++) tree.set(i, i + 1, i % 7 === 0 ? 5000 + i : 0)
    const expected = tree.read()
    expect(await tree.persist()).toBe(tree.capacity)
    expect(tree.read()).toEqual(expected)
    await tree.pager.close()
    const again = await ToyTree.open(toyOptions(vfs))
    expect(again.read()).toEqual(expected)
    expect(again.pager.openNotes).toEqual([])
    expect(again.pager.durableSeq).toBe(tree.capacity)
    await again.pager.close()
  })
})
