import { describe, expect, it } from 'vitest'
import { SeededRandom } from '../../dist/base/random.js'
import { MemVfs } from '../../dist/vfs/mem-vfs.js'
import * as damage from './damage.js'

function withFile(content: string): MemVfs {
  const vfs = new MemVfs()
  const file = vfs.openSync('/a', 'create')
  file.writeSync(Buffer.from(content), 0)
  file.datasyncSync()
  vfs.syncDirectorySync('/')
  return vfs
}

const text = (vfs: MemVfs) => vfs.medium.read('/a').toString('latin1')

describe('damage to the medium', () => {
  it('is seen through open files and survives a crash', () => {
    const vfs = withFile('abcd')
    const file = vfs.openSync('/a', 'read')
    expect(damage.flipBit(vfs, '/a', 8)).toBe('bit 0 of byte 1 flipped in /a')
    const target = Buffer.alloc(4)
    file.readSync(target, 0)
    expect(target.toString()).toBe('accd')
    expect(text(vfs.crashClone('nothing'))).toBe('accd')
  })

  it('changes what it says and nothing else', () => {
    const vfs = withFile('0123456789')
    const older = vfs.crashClone('nothing')
    damage.swapBlocks(vfs, '/a', 0, 8, 4)
    expect(text(vfs)).toBe('8923456701')
    damage.zeroBlock(vfs, '/a', 4, 2)
    expect(text(vfs)).toBe('8923\x00\x006701')
    damage.restoreStaleBlock(vfs, older, '/a', 8, 512)
    expect(text(vfs)).toBe('8923\x00\x006789')
    damage.truncate(vfs, '/a', 2)
    expect(text(vfs)).toBe('89')
    damage.restoreStaleFile(vfs, older, '/a')
    expect(text(vfs)).toBe('0123456789')
    damage.scrambleBlock(vfs, '/a', 0, new SeededRandom(1), 5)
    expect(text(vfs).slice(5)).toBe('56789')
    expect(text(vfs).slice(0, 5)).not.toBe('01234')
    damage.remove(vfs, '/a')
    expect(vfs.medium.paths()).toEqual([])
    expect(vfs.crashClone('everything').medium.paths()).toEqual([])
    expect(text(older)).toBe('0123456789')
  })

  it('of a random kind says what it did, and covers every kind', () => {
    const kinds = new Set<string>()
    for (let seed = 0; seed < 200; seed++) {
      const vfs = withFile('x'.repeat(2000))
      const older = withFile('y'.repeat(2000))
      const what = damage.damageAnything(vfs, new SeededRandom(seed), { older })
      kinds.add(what!.replaceAll(/\d+/g, '#'))
    }
    expect(kinds.size).toBeGreaterThanOrEqual(8)
    expect(damage.damageAnything(new MemVfs(), new SeededRandom(1))).toBeUndefined()
  })
})
