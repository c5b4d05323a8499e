import { describe, expect, it } from 'vitest'
import { SeededRandom } from '../../dist/base/random.js'
import { MemVfs } from '../../dist/vfs/mem-vfs.js'

const seeds = 400
const sector = 512

/** A file with a durable name whose contents are synced. */
function withSynced(content: string | Uint8Array): MemVfs {
  const vfs = new MemVfs()
  const file = vfs.openSync('/a', 'create')
  file.writeSync(Buffer.from(content), 0)
  file.datasyncSync()
  file.closeSync()
  vfs.syncDirectorySync('/')
  return vfs
}

/** What the same moment may become, over many seeds and the two extremes. */
function outcomes<T>(vfs: MemVfs, look: (clone: MemVfs) => T): Set<T> {
  const found = new Set<T>([look(vfs.crashClone('nothing')), look(vfs.crashClone('everything'))])
  for (let seed = 0; seed < seeds; seed++) found.add(look(vfs.crashClone(new SeededRandom(seed))))
  return found
}

const namesIn = (clone: MemVfs) => clone.readdirSync('/').join(' ')
const content = (clone: MemVfs) => clone.medium.read('/a').toString('latin1')

describe('a power cut and file contents', () => {
  it('never touches what was synced', () => {
    const vfs = withSynced('synced')
    expect([...outcomes(vfs, content)]).toEqual(['synced'])
  })

  it('leaves unsynced writes kept or dropped, in any combination', () => {
    const vfs = withSynced(Buffer.alloc(4 * sector, '.'))
    const file = vfs.openSync('/a', 'readwrite')
    for (const i of [0, 1, 2, 3]) file.writeSync(Buffer.alloc(sector, String(i)), i * sector)
    const found = outcomes(vfs, (clone) =>
      [0, 1, 2, 3].map((i) => content(clone)[i * sector]).join('')
    )
    expect(found.size).toBe(16)
  })

  it('tears a write at sectors: first ones, last ones, all but some in the middle', () => {
    const vfs = withSynced(Buffer.alloc(4 * sector, '.'))
    vfs.openSync('/a', 'readwrite').writeSync(Buffer.alloc(4 * sector, 'x'), 0)
    const found = outcomes(vfs, (clone) => {
      const all = content(clone)
      for (let i = 0; i < 4; i++) {
        expect(new Set(all.slice(i * sector, (i + 1) * sector)).size).toBe(1)
      }
      return [0, 1, 2, 3].map((i) => all[i * sector]).join('')
    })
    for (const torn of ['x...', 'xxx.', '...x', '.xxx', 'x..x', 'xx.x', '....', 'xxxx']) {
      expect(found).toContain(torn)
    }
  })

  it('lets a later write survive without an earlier one, in one sector too', () => {
    const vfs = withSynced('......')
    const file = vfs.openSync('/a', 'readwrite')
    file.writeSync(Buffer.from('11'), 1)
    file.writeSync(Buffer.from('22'), 2)
    expect(outcomes(vfs, content)).toEqual(new Set(['......', '.11...', '..22..', '.122..']))
  })

  it('extends a file with its data, with zeros, with garbage, in part or not at all', () => {
    const vfs = withSynced('')
    const file = vfs.openSync('/a', 'readwrite')
    file.writeSync(Buffer.alloc(4 * sector, 'x'), 0)
    const found = outcomes(vfs, (clone) => {
      const all = content(clone)
      const kinds = [0, 1, 2, 3].map((i) => {
        const part = new Set(all.slice(i * sector, (i + 1) * sector))
        if (part.size > 1) return 'garbage'
        return part.size === 0 ? '-' : part.has('x') ? 'x' : '0'
      })
      return kinds.join(' ')
    })
    for (const kind of ['- - - -', 'x x x x', '0 0 0 0', 'x - - -', 'x 0 0 0']) {
      expect(found).toContain(kind)
    }
    expect([...found].some((kinds) => kinds.includes('garbage'))).toBe(true)
  })

  it('shows bytes of a removed file in blocks that were given to a new one', () => {
    const vfs = withSynced(Buffer.alloc(4 * sector, 'old'))
    vfs.unlinkSync('/a')
    vfs.syncDirectorySync('/')
    const file = vfs.openSync('/a', 'create')
    vfs.syncDirectorySync('/')
    file.writeSync(Buffer.alloc(4 * sector, 'new'), 0)
    expect([...outcomes(vfs, content)].some((all) => all.includes('oldold'))).toBe(true)
  })

  it('brings back what was cut when the cut was not synced', () => {
    const vfs = withSynced('long content')
    vfs.openSync('/a', 'readwrite').truncateSync(4)
    expect(outcomes(vfs, content)).toEqual(new Set(['long content', 'long']))
  })

  it('undoes a preallocation that was not synced', () => {
    const vfs = withSynced('')
    vfs.openSync('/a', 'readwrite').allocateSync(5000)
    const found = outcomes(vfs, (clone) => clone.medium.read('/a').length)
    expect(found).toEqual(new Set([0, 5000]))
  })

  it('loses what a failed sync dropped, although it read back well and later syncs succeeded', () => {
    const vfs = withSynced('......')
    const file = vfs.openSync('/a', 'readwrite')
    file.writeSync(Buffer.from('11'), 0)
    file.loseUnsynced()
    file.writeSync(Buffer.from('22'), 2)
    file.datasyncSync()
    file.datasyncSync()
    expect(content(vfs)).toBe('1122..')
    expect(content(vfs.crashClone('nothing'))).toBe('..22..')
    expect(outcomes(vfs, content)).toEqual(new Set(['..22..', '1122..']))
  })

  it('keeps a synced write over one that a failed sync dropped', () => {
    const vfs = withSynced('..')
    const file = vfs.openSync('/a', 'readwrite')
    file.writeSync(Buffer.from('11'), 0)
    file.loseUnsynced()
    file.writeSync(Buffer.from('22'), 0)
    file.datasyncSync()
    expect([...outcomes(vfs, content)]).toEqual(['22'])
  })

  it('takes nothing after the end of a process, and all of it in a later power cut', () => {
    const vfs = withSynced('')
    vfs.openSync('/a', 'readwrite').writeSync(Buffer.from('unsynced'), 0)
    vfs.openSync('/b', 'create')
    const killed = vfs.killClone()
    expect(content(killed)).toBe('unsynced')
    expect(content(killed.crashClone('nothing'))).toBe('')
    expect(namesIn(killed)).toBe('a b')
    expect(namesIn(killed.crashClone('nothing'))).toBe('a')
    killed.openSync('/a', 'readwrite').datasyncSync()
    killed.syncDirectorySync('/')
    expect(content(killed.crashClone('nothing'))).toBe('unsynced')
    expect(namesIn(killed.crashClone('nothing'))).toBe('a b')
    expect(content(vfs.crashClone('nothing'))).toBe('')
  })
})

describe('a power cut and names', () => {
  it('loses a synced file whose directory was not synced', () => {
    const vfs = new MemVfs()
    const file = vfs.openSync('/a', 'create')
    file.writeSync(Buffer.from('synced'), 0)
    file.datasyncSync()
    const found = outcomes(vfs, (clone) => (clone.statSync('/a') ? content(clone) : 'gone'))
    expect(found).toEqual(new Set(['synced', 'gone']))
    vfs.syncDirectorySync('/')
    expect([...outcomes(vfs, content)]).toEqual(['synced'])
  })

  it('keeps a name without the contents that were not synced', () => {
    const vfs = new MemVfs()
    vfs.openSync('/a', 'create').writeSync(Buffer.from('unsynced'), 0)
    vfs.syncDirectorySync('/')
    expect(content(vfs.crashClone('nothing'))).toBe('')
  })

  it('keeps or loses creations in any combination', () => {
    const vfs = new MemVfs()
    for (const name of ['a', 'b', 'c']) vfs.openSync(`/${name}`, 'create')
    expect(outcomes(vfs, namesIn).size).toBe(8)
  })

  it('brings removed files back, with their synced contents', () => {
    const vfs = withSynced('back')
    vfs.unlinkSync('/a')
    const found = outcomes(vfs, (clone) => (clone.statSync('/a') ? content(clone) : 'gone'))
    expect(found).toEqual(new Set(['back', 'gone']))
    vfs.syncDirectorySync('/')
    expect([...outcomes(vfs, namesIn)]).toEqual([''])
  })

  it('undoes a rename or not, and never loses both names', () => {
    const vfs = withSynced('moved')
    vfs.renameSync('/a', '/b')
    expect(outcomes(vfs, namesIn)).toEqual(new Set(['a', 'b']))
    vfs.syncDirectorySync('/')
    expect([...outcomes(vfs, namesIn)]).toEqual(['b'])
  })

  it('never loses a renamed file to a new one that took its name', () => {
    const vfs = withSynced('segment')
    vfs.renameSync('/a', '/b')
    vfs.openSync('/a', 'create')
    const found = outcomes(vfs, (clone) =>
      clone.medium
        .paths()
        .map((path) => `${path}=${clone.medium.read(path).toString()}`)
        .join(' ')
    )
    expect(found).toEqual(new Set(['/a=segment', '/b=segment', '/a= /b=segment']))
  })

  it('holds either the old or the new file under a replaced name', () => {
    const vfs = withSynced('old')
    const file = vfs.openSync('/a.new', 'create')
    file.writeSync(Buffer.from('new'), 0)
    file.datasyncSync()
    vfs.renameSync('/a.new', '/a')
    const found = outcomes(vfs, (clone) => `${namesIn(clone)}:${content(clone)}`)
    expect(found).toEqual(new Set(['a:old', 'a:new', 'a a.new:old']))
  })

  it('makes a rename between directories durable once both were synced, and only then', () => {
    const vfs = withSynced('moved')
    vfs.mkdirSync('/d')
    vfs.syncDirectorySync('/')
    vfs.renameSync('/a', '/d/a')
    const where = (clone: MemVfs) => clone.medium.paths().join(' ')
    expect(outcomes(vfs, where)).toEqual(new Set(['/a', '/d/a']))
    vfs.syncDirectorySync('/d')
    expect(outcomes(vfs, where)).toEqual(new Set(['/a', '/d/a']))
    vfs.syncDirectorySync('/')
    expect([...outcomes(vfs, where)]).toEqual(['/d/a'])
  })

  it('takes a whole new directory when its parent was not synced', () => {
    const vfs = new MemVfs()
    vfs.mkdirSync('/d')
    vfs.openSync('/d/a', 'create')
    vfs.syncDirectorySync('/d')
    const where = (clone: MemVfs) => `${namesIn(clone)}:${clone.medium.paths().join(' ')}`
    expect(outcomes(vfs, where)).toEqual(new Set([':', 'd:/d/a']))
    vfs.syncDirectorySync('/')
    expect([...outcomes(vfs, where)]).toEqual(['d:/d/a'])
  })

  it('brings a removed directory back, but not what had durably left it', () => {
    const vfs = new MemVfs()
    vfs.mkdirSync('/d')
    vfs.openSync('/d/a', 'create')
    vfs.syncDirectorySync('/d')
    vfs.syncDirectorySync('/')
    vfs.unlinkSync('/d/a')
    vfs.rmdirSync('/d')
    const where = (clone: MemVfs) => `${namesIn(clone)}:${clone.medium.paths().join(' ')}`
    expect(outcomes(vfs, where)).toEqual(new Set([':', 'd:', 'd:/d/a']))
  })

  it('takes what was created after the directory sync had been submitted', async () => {
    const vfs = new MemVfs()
    vfs.openSync('/before', 'create')
    const syncing = vfs.syncDirectory('/')
    vfs.openSync('/behind', 'create')
    await syncing
    expect(namesIn(vfs.crashClone('nothing'))).toBe('before')
  })

  it('loses names after a failed directory sync, although a later one succeeded', () => {
    const vfs = new MemVfs()
    vfs.openSync('/a', 'create')
    vfs.loseUnsyncedNames('/')
    vfs.openSync('/b', 'create')
    vfs.syncDirectorySync('/')
    expect(namesIn(vfs)).toBe('a b')
    expect(outcomes(vfs, namesIn)).toEqual(new Set(['b', 'a b']))
  })

  it('gives clones that are independent of each other and of the original', () => {
    const vfs = withSynced('original')
    const first = vfs.crashClone('everything')
    const second = vfs.crashClone('everything')
    first.openSync('/a', 'readwrite').writeSync(Buffer.from('FIRST'), 0)
    vfs.openSync('/a', 'readwrite').writeSync(Buffer.from('later'), 0)
    expect(content(first)).toBe('FIRSTnal')
    expect(content(second)).toBe('original')
    expect(content(vfs)).toBe('laternal')
  })

  it('is the same for the same seed', () => {
    const build = () => {
      const vfs = withSynced(Buffer.alloc(3000, 'x'))
      const file = vfs.openSync('/a', 'readwrite')
      for (let i = 0; i < 10; i++) file.writeSync(Buffer.alloc(1500, String(i)), i * 400)
      for (let i = 0; i < 5; i++) vfs.openSync(`/b${i}`, 'create')
      return vfs
    }
    for (let seed = 0; seed < 50; seed++) {
      const look = (vfs: MemVfs) => {
        const clone = vfs.crashClone(new SeededRandom(seed))
        return namesIn(clone) + content(clone)
      }
      expect(look(build())).toBe(look(build()))
    }
  })
})
