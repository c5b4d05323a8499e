import { describe, expect, it } from 'vitest'
import { SeededRandom } from '../../dist/base/random.js'
import { MacrotaskScheduler, SeededScheduler } from '../../dist/vfs/mem-scheduler.js'
import { MemVfs } from '../../dist/vfs/mem-vfs.js'

const bytes = (text: string) => Buffer.from(text)

function textOf(vfs: MemVfs, path: string): string {
  return vfs.medium.read(path).toString('latin1')
}

describe('files in memory', () => {
  it('read back what was written, with zeros in between, across chunks', () => {
    const vfs = new MemVfs()
    const file = vfs.openSync('/a', 'create')
    const long = new SeededRandom(1).fill(Buffer.alloc(20_000))
    file.writeSync(long, 10_000)
    const all = Buffer.alloc(40_000, 0xff)
    expect(file.readSync(all, 0)).toBe(30_000)
    expect(all.subarray(0, 10_000).equals(Buffer.alloc(10_000))).toBe(true)
    expect(all.subarray(10_000, 30_000).equals(long)).toBe(true)
    expect(file.readSync(all, 30_000)).toBe(0)
    expect(file.readSync(all.subarray(0, 100), 29_990)).toBe(10)
  })

  it('read zeros where a file was cut and grew again', () => {
    const vfs = new MemVfs()
    const file = vfs.openSync('/a', 'create')
    file.writeSync(Buffer.alloc(9000, 1), 0)
    file.truncateSync(100)
    file.truncateSync(9000)
    const all = vfs.medium.read('/a')
    expect(all.subarray(0, 100).equals(Buffer.alloc(100, 1))).toBe(true)
    expect(all.subarray(100).equals(Buffer.alloc(8900))).toBe(true)
  })

  it('stay readable through an open file after their name was removed', () => {
    const vfs = new MemVfs()
    const file = vfs.openSync('/a', 'create')
    file.writeSync(bytes('kept'), 0)
    vfs.unlinkSync('/a')
    const target = Buffer.alloc(4)
    file.readSync(target, 0)
    expect(target.toString()).toBe('kept')
    expect(vfs.statSync('/a')).toBeUndefined()
  })

  it('fail with typed errors for missing, existing and misplaced names', () => {
    const vfs = new MemVfs()
    vfs.mkdirSync('/d')
    vfs.openSync('/d/a', 'create')
    const code = (run: () => unknown) => {
      try {
        run()
      } catch (error) {
        return (error as { code: string }).code
      }
      return undefined
    }
    expect(code(() => vfs.openSync('/d/b', 'read'))).toBe('KINTSUGI_FILE_MISSING')
    expect(code(() => vfs.openSync('/d/a', 'create'))).toBe('KINTSUGI_FILE_EXISTS')
    expect(code(() => vfs.mkdirSync('/d'))).toBe('KINTSUGI_FILE_EXISTS')
    expect(code(() => vfs.mkdirSync('/e/f'))).toBe('KINTSUGI_FILE_MISSING')
    expect(code(() => vfs.rmdirSync('/d'))).toBe('KINTSUGI_IO')
    expect(code(() => vfs.readdirSync('/d/a'))).toBe('KINTSUGI_FILE_MISSING')
    expect(code(() => vfs.renameSync('/x', '/y'))).toBe('KINTSUGI_FILE_MISSING')
    expect(code(() => vfs.openSync('/d/a', 'read').writeSync(bytes('x'), 0))).toBe('KINTSUGI_IO')
    expect(code(() => vfs.syncDirectorySync('/nowhere'))).toBe('KINTSUGI_FILE_MISSING')
  })
})

describe('the capacity of the device', () => {
  it('ends a write with DISK_FULL after what fits, and space returns with the file', async () => {
    const vfs = new MemVfs({ capacityBytes: 16_384 })
    const file = vfs.openSync('/a', 'create')
    expect(() => file.writeSync(Buffer.alloc(20_000, 1), 0)).toThrow(
      expect.objectContaining({ code: 'KINTSUGI_DISK_FULL' })
    )
    expect(file.sizeSync()).toBe(16_384)
    expect(await vfs.freeBytes('/')).toBe(0)
    vfs.unlinkSync('/a')
    expect(await vfs.freeBytes('/')).toBe(0)
    file.closeSync()
    expect(await vfs.freeBytes('/')).toBe(16_384)
  })

  it('is reserved by allocate, so that later writes inside it never run out', () => {
    const vfs = new MemVfs({ capacityBytes: 16_384 })
    const log = vfs.openSync('/log', 'create')
    log.allocateSync(8192)
    const other = vfs.openSync('/other', 'create')
    expect(() => other.writeSync(Buffer.alloc(8193), 0)).toThrow(/ENOSPC/)
    expect(() => log.allocateSync(12_288)).toThrow(/ENOSPC/)
    expect(log.sizeSync()).toBe(8192)
    log.writeSync(Buffer.alloc(8192, 1), 0)
    expect(() => log.writeSync(Buffer.alloc(1, 1), 8192)).toThrow(/ENOSPC/)
  })

  it('is the same in a crash clone, which counts what the clone holds', async () => {
    const vfs = new MemVfs({ capacityBytes: 40_960 })
    const file = vfs.openSync('/a', 'create')
    file.writeSync(Buffer.alloc(8192), 0)
    expect(await vfs.crashClone('everything').freeBytes('/')).toBe(32_768)
    expect(await vfs.crashClone('nothing').freeBytes('/')).toBe(40_960)
    expect(await vfs.killClone().freeBytes('/')).toBe(32_768)
  })
})

describe('asynchronous operations', () => {
  it('take effect in a later turn and keep order by default', async () => {
    const vfs = new MemVfs()
    const file = await vfs.open('/a', 'create')
    const first = file.write(bytes('one'), 0)
    const second = file.write(bytes('two'), 0)
    expect(file.sizeSync()).toBe(0)
    await Promise.all([first, second])
    expect(textOf(vfs, '/a')).toBe('two')
  })

  it('overtake each other under a seeded scheduler, the same way for the same seed', async () => {
    const run = async (seed: number) => {
      const vfs = new MemVfs({ scheduler: new SeededScheduler(new SeededRandom(seed)) })
      const file = vfs.openSync('/a', 'create')
      const settled: number[] = []
      await Promise.all(
        [0, 1, 2, 3, 4, 5].map(async (i) => {
          await file.write(bytes(String(i)), 0)
          settled.push(i)
        })
      )
      return settled.join('') + textOf(vfs, '/a')
    }
    const results = new Set<string>()
    for (let seed = 0; seed < 20; seed++) {
      const result = await run(seed)
      expect(await run(seed)).toBe(result)
      results.add(result)
    }
    expect(results.size).toBeGreaterThan(10)
  })

  it('take effect at submission where that is asked for', async () => {
    const vfs = new MemVfs({ scheduler: new MacrotaskScheduler('submission') })
    const file = vfs.openSync('/a', 'create')
    const writing = file.write(bytes('now'), 0)
    expect(textOf(vfs, '/a')).toBe('now')
    await writing
  })

  it('never let a sync cover a write that was submitted after it', async () => {
    const vfs = new MemVfs()
    const file = vfs.openSync('/a', 'create')
    vfs.syncDirectorySync('/')
    file.writeSync(bytes('before'), 0)
    const syncing = file.datasync()
    file.writeSync(bytes('behind'), 6)
    await syncing
    expect(textOf(vfs.crashClone('nothing'), '/a')).toBe('before')
  })

  it('are all observed, before and after they take effect', async () => {
    const vfs = new MemVfs()
    const seen: string[] = []
    vfs.onBeforeOperation(({ index, kind }) => seen.push(`${index} before ${kind}`))
    const stop = vfs.onOperation(({ kind, path }) => seen.push(`${kind} ${path}`))
    const file = await vfs.open('/a', 'create')
    await file.writeAndDatasync(bytes('x'), 0)
    await vfs.rename('/a', '/b')
    stop()
    await vfs.unlink('/b')
    expect(seen).toEqual([
      '0 before create',
      'create /a',
      '1 before write',
      'write /a',
      '2 before datasync',
      'datasync /a',
      '3 before rename',
      'rename /a -> /b',
      '4 before unlink'
    ])
  })
})

describe('locks', () => {
  it('exclude every other opener, and shared ones only exclusive ones', () => {
    const vfs = new MemVfs()
    const lock = vfs.lockSync('/LOCK', { exclusive: true, now: 0 })
    expect(() => vfs.lockSync('/LOCK', { exclusive: false, now: 0 })).toThrow(
      expect.objectContaining({
        code: 'KINTSUGI_LOCKED',
        facts: expect.objectContaining({ owner: expect.objectContaining({ host: 'memory' }) })
      })
    )
    lock.release()
    lock.release()
    const shared = vfs.lockSync('/LOCK', { exclusive: false, now: 0 })
    vfs.lockSync('/LOCK', { exclusive: false, now: 0 }).release()
    expect(() => vfs.lockSync('/LOCK', { exclusive: true, now: 0 })).toThrow(/locked/)
    shared.release()
    expect(vfs.lockSync('/LOCK', { exclusive: true, now: 0 }).previousOwner).toBeUndefined()
  })

  it('are gone after a crash, and the next owner learns who had them', () => {
    const vfs = new MemVfs()
    vfs.lockSync('/LOCK', { exclusive: true, now: 1000 })
    vfs.syncDirectorySync('/')
    for (const clone of [vfs.crashClone('nothing'), vfs.killClone()]) {
      const lock = clone.lockSync('/LOCK', { exclusive: true, now: 2000 })
      expect(lock.previousOwner).toMatchObject({ since: '1970-01-01T00:00:01.000Z' })
      lock.release()
      const next = clone.lockSync('/LOCK', { exclusive: true, now: 3000 })
      expect(next.previousOwner).toBeUndefined()
    }
  })
})
