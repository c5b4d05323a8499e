import { describe, expect, it } from 'vitest'
import type { Fault, FaultOperation, FaultPlan } from '../../dist/vfs/fault-plan.js'
import { FaultVfs } from '../../dist/vfs/fault-vfs.js'
import type { VfsFile } from '../../dist/vfs/vfs.js'
import { MemVfs } from '../../dist/vfs/mem-vfs.js'
import { failure, failureSync, vfsContract } from './vfs-contract.js'

vfsContract('FaultVfs without a plan', () => {
  const vfs = new FaultVfs(new MemVfs())
  vfs.mkdirSync('/root')
  return { vfs, root: '/root', cleanup: () => undefined }
})

function setUp(plan: FaultPlan) {
  const mem = new MemVfs()
  const vfs = new FaultVfs(mem, plan)
  return { mem, vfs }
}

const eio: Fault = { kind: 'error', errno: 'EIO' }
const bytes = (text: string) => Buffer.from(text)

describe('FaultVfs', () => {
  it('fails the n-th matching operation on a matching path, and no other', async () => {
    const { mem, vfs } = setUp([{ operation: 'write', path: '/b*', nth: 2, fault: eio }])
    const a = await vfs.open('/a', 'create')
    const b = await vfs.open('/b.wal', 'create')
    for (const file of [a, b]) await file.write(bytes('1'), 0)
    await a.write(bytes('2'), 1)
    const error = await failure(b.write(bytes('2'), 1))
    expect(error.code).toBe('KINTSUGI_IO')
    expect(error.facts).toMatchObject({ path: '/b.wal', operation: 'write', errno: 'EIO' })
    await b.write(bytes('3'), 1)
    expect(mem.medium.read('/b.wal').toString()).toBe('13')
  })

  it.each([
    ['EIO', 'KINTSUGI_IO'],
    ['ENOSPC', 'KINTSUGI_DISK_FULL'],
    ['EMFILE', 'KINTSUGI_TOO_MANY_FILES'],
    ['EACCES', 'KINTSUGI_PERMISSION']
  ] as const)('gives %s its code, in both forms', async (errno, code) => {
    const fault: Fault = { kind: 'error', errno }
    const { vfs } = setUp([{ operation: 'create', times: 2, fault }])
    expect((await failure(vfs.open('/a', 'create'))).code).toBe(code)
    expect(failureSync(() => vfs.openSync('/a', 'create')).code).toBe(code)
    expect(vfs.statSync('/a')).toBeUndefined()
    vfs.openSync('/a', 'create')
  })

  it('strikes reads without waiting like other reads, and counts only those that read', async () => {
    const flip: Fault = { kind: 'bit-flip', bit: 8 }
    const plan: FaultPlan = [
      { operation: 'read', nth: 2, fault: eio },
      { operation: 'read', nth: 3, fault: flip }
    ]
    const target = Buffer.alloc(3)
    const cached = new FaultVfs(new MemVfs({ cachedReads: 'all' }), plan)
    const file = await cached.open('/a', 'create')
    await file.write(bytes('abc'), 0)
    const seen = [1, 2, 3, 4].map(() => file.tryRead(target, 0) && target.toString())
    expect(seen).toEqual(['abc', false, 'acc', 'abc'])
    const waiting = new FaultVfs(new MemVfs({ cachedReads: 'none' }), plan)
    const other = await waiting.open('/a', 'create')
    await other.write(bytes('abc'), 0)
    for (let i = 0; i < 5; i++) expect(other.tryRead(target, 0)).toBe(false)
    expect(await other.read(target, 0)).toBe(3)
    expect((await failure(other.read(target, 0))).facts.errno).toBe('EIO')
  })

  it('reaches every kind of operation', async () => {
    const runs: Record<string, (vfs: FaultVfs, file: VfsFile) => unknown> = {
      open: (vfs) => vfs.openSync('/d/a', 'read'),
      create: (vfs) => vfs.openSync('/d/b', 'create'),
      read: (_, file) => file.readSync(Buffer.alloc(1), 0),
      write: (_, file) => file.writeSync(bytes('x'), 0),
      datasync: (_, file) => file.datasyncSync(),
      allocate: (_, file) => file.allocateSync(10),
      truncate: (_, file) => file.truncateSync(5),
      close: (_, file) => file.closeSync(),
      mkdir: (vfs) => vfs.mkdirSync('/e'),
      readdir: (vfs) => vfs.readdirSync('/'),
      stat: (vfs) => vfs.statSync('/'),
      rename: (vfs) => vfs.renameSync('/d/a', '/d/c'),
      unlink: (vfs) => vfs.unlinkSync('/d/a'),
      rmdir: (vfs) => vfs.rmdirSync('/f'),
      syncDirectory: (vfs) => vfs.syncDirectorySync('/d'),
      lock: (vfs) => vfs.lockSync('/LOCK', { exclusive: true, now: 0 })
    }
    for (const [operation, run] of Object.entries(runs)) {
      // The file is opened first, so that a fault on `open` strikes the operation behind it.
      const nth = operation === 'open' ? 2 : 1
      const { mem, vfs } = setUp([{ operation: operation as FaultOperation, nth, fault: eio }])
      for (const path of ['/d', '/f']) mem.mkdirSync(path)
      mem.openSync('/d/a', 'create')
      const file = vfs.openSync('/d/a', 'readwrite')
      expect(failureSync(() => run(vfs, file)).facts.errno).toBe('EIO')
    }
    const { vfs } = setUp([{ operation: 'freeBytes', fault: eio }])
    expect((await failure(vfs.freeBytes('/'))).facts.errno).toBe('EIO')
  })

  it('writes the first bytes of a short write before it fails', () => {
    const fault: Fault = { kind: 'short-write', lengthBytes: 3, errno: 'ENOSPC' }
    const { mem, vfs } = setUp([{ operation: 'write', fault }])
    const file = vfs.openSync('/a', 'create')
    expect(failureSync(() => file.writeSync(bytes('abcdef'), 0)).code).toBe('KINTSUGI_DISK_FULL')
    expect(mem.medium.read('/a').toString()).toBe('abc')
  })

  it('fills the disk at an operation: what needs no space goes on, the rest waits for room', async () => {
    const { vfs } = setUp([{ operation: 'write', nth: 2, fault: { kind: 'disk-full' } }])
    const file = vfs.openSync('/a', 'create')
    file.writeSync(bytes('abc'), 0)
    expect(failureSync(() => file.writeSync(bytes('d'), 3)).code).toBe('KINTSUGI_DISK_FULL')
    expect(await vfs.freeBytes('/')).toBe(0)
    for (const needing of [
      () => file.allocateSync(10),
      () => file.truncateSync(10),
      () => vfs.openSync('/b', 'create'),
      () => vfs.mkdirSync('/d')
    ]) {
      expect(failureSync(needing).code).toBe('KINTSUGI_DISK_FULL')
    }
    file.writeSync(bytes('ABC'), 0)
    file.datasyncSync()
    file.truncateSync(2)
    vfs.freeDisk()
    file.writeSync(bytes('abcdef'), 0)
    expect(await vfs.freeBytes('/')).toBeGreaterThan(0)
  })

  it('drops the unsynced pages when a sync fails: good to read, gone after the crash', async () => {
    const { mem, vfs } = setUp([{ operation: 'datasync', nth: 2, fault: eio }])
    const file = vfs.openSync('/a', 'create')
    vfs.syncDirectorySync('/')
    await file.writeAndDatasync(bytes('safe'), 0)
    expect((await failure(file.writeAndDatasync(bytes('gone'), 4))).code).toBe('KINTSUGI_IO')
    await file.datasync()
    expect(mem.medium.read('/a').toString()).toBe('safegone')
    expect(mem.crashClone('nothing').medium.read('/a').toString()).toBe('safe')
  })

  it('drops names when a directory sync fails', async () => {
    const { mem, vfs } = setUp([{ operation: 'syncDirectory', fault: eio }])
    vfs.openSync('/a', 'create')
    expect((await failure(vfs.syncDirectory('/'))).code).toBe('KINTSUGI_IO')
    await vfs.syncDirectory('/')
    expect(mem.crashClone('nothing').readdirSync('/')).toEqual([])
  })

  it('reports an error after the effect where that is asked for', async () => {
    const fault: Fault = { kind: 'error', errno: 'EIO', afterEffect: true }
    const { mem, vfs } = setUp([{ operation: 'rename', path: '/b', fault }])
    vfs.openSync('/a', 'create')
    expect((await failure(vfs.rename('/a', '/b'))).code).toBe('KINTSUGI_IO')
    expect(mem.readdirSync('/')).toEqual(['b'])
  })

  it('flips one bit of what is read, and none on the medium', async () => {
    const fault: Fault = { kind: 'bit-flip', bit: 9 }
    const { mem, vfs } = setUp([{ operation: 'read', times: 2, fault }])
    const file = vfs.openSync('/a', 'create')
    file.writeSync(Buffer.alloc(4), 0)
    const target = Buffer.alloc(4)
    await file.read(target, 0)
    expect([...target]).toEqual([0, 2, 0, 0])
    file.readSync(target, 0)
    expect([...target]).toEqual([0, 2, 0, 0])
    await file.read(target, 0)
    expect([...target]).toEqual([0, 0, 0, 0])
    expect([...mem.medium.read('/a')]).toEqual([0, 0, 0, 0])
  })

  it('delays an operation, so that later ones overtake it', async () => {
    const { vfs } = setUp([{ operation: 'write', fault: { kind: 'delay', turns: 3 } }])
    const file = vfs.openSync('/a', 'create')
    const order: string[] = []
    const first = file.write(bytes('1'), 0).then(() => order.push('first'))
    const second = file.write(bytes('2'), 1).then(() => order.push('second'))
    await Promise.all([first, second])
    expect(order).toEqual(['second', 'first'])
  })

  it('counts operations and mutations, so that a fault can be put at every one of them', () => {
    const run = (vfs: FaultVfs) => {
      const file = vfs.openSync('/a', 'create')
      file.writeSync(bytes('x'), 0)
      file.readSync(Buffer.alloc(1), 0)
      file.datasyncSync()
      file.closeSync()
    }
    const { vfs } = setUp([])
    run(vfs)
    expect(vfs.faults.operationCount).toBe(5)
    expect(vfs.faults.mutationCount).toBe(3)
    for (let nth = 1; nth <= 3; nth++) {
      const failing = setUp([{ operation: 'mutation', nth, fault: eio }]).vfs
      expect(failureSync(() => run(failing)).code).toBe('KINTSUGI_IO')
      expect(failing.faults.fired).toHaveLength(1)
    }
  })

  it('says what was planned and what struck', () => {
    const plan: FaultPlan = [{ operation: 'mkdir', path: '*d', nth: 2, fault: eio }]
    const { vfs } = setUp(JSON.parse(JSON.stringify(plan)) as FaultPlan)
    vfs.mkdirSync('/d')
    failureSync(() => vfs.mkdirSync('/d/d'))
    const text = vfs.faults.describe()
    expect(text).toContain('rule 0')
    expect(text).toContain('on mkdir /d/d (match 2)')
    expect(text).toContain(JSON.stringify(plan))
  })
})
