import { execFileSync, spawnSync } from 'node:child_process'
import fs from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { loadNativeBinding } from '../../dist/native-binding.js'
import { NodeFile } from '../../dist/vfs/node-file.js'
import { NodeVfs } from '../../dist/vfs/node-vfs.js'
import type { VfsFile } from '../../dist/vfs/vfs.js'
import { failure, failureSync } from './vfs-contract.js'

const nodeVfsUrl = new URL('../../dist/vfs/node-vfs.js', import.meta.url).href
const isRoot = process.getuid?.() === 0

let directory: string

beforeEach(() => {
  directory = fs.mkdtempSync(join(tmpdir(), 'kintsugi-file-'))
})

afterEach(() => {
  vi.restoreAllMocks()
  fs.rmSync(directory, { recursive: true, force: true })
})

const at = (name: string) => join(directory, name)

describe('a file whose operating system does things by halves', () => {
  const vfs = new NodeVfs({ native: false })
  const source = Buffer.from('0123456789')

  it('continues short writes', async () => {
    const real = { write: fs.write, writeSync: fs.writeSync }
    const lengths: number[] = []
    const cut = (length: number | null | undefined) => {
      lengths.push(length!)
      return Math.min(length!, 3)
    }
    vi.spyOn(fs, 'write').mockImplementation(((fd, source, offset, length, position, done) =>
      real.write(fd, source, offset, cut(length), position, done)) as typeof fs.write)
    vi.spyOn(fs, 'writeSync').mockImplementation(((fd, source, offset, length, position) =>
      real.writeSync(fd, source, offset, cut(length), position)) as typeof fs.writeSync)
    const file = vfs.openSync(at('a'), 'create')
    await file.write(source, 0)
    file.writeSync(source, 10)
    await file.writeAndDatasync(source, 20)
    await file.close()
    expect(fs.readFileSync(at('a'), 'latin1')).toBe('0123456789'.repeat(3))
    expect(lengths).toEqual([10, 7, 4, 1, 10, 7, 4, 1, 10, 7, 4, 1])
  })

  it('continues short reads', async () => {
    fs.writeFileSync(at('a'), source)
    const real = { read: fs.read, readSync: fs.readSync }
    vi.spyOn(fs, 'read').mockImplementation(((fd, target, offset, length, position, done) =>
      real.read(fd, target, offset, Math.min(length, 4), position, done)) as typeof fs.read)
    vi.spyOn(fs, 'readSync').mockImplementation(((fd, target, offset, length, position) =>
      real.readSync(fd, target, offset, Math.min(length, 4), position)) as typeof fs.readSync)
    const file = vfs.openSync(at('a'), 'read')
    const target = Buffer.alloc(12)
    expect(await file.read(target, 0)).toBe(10)
    expect(target.toString('latin1', 0, 10)).toBe('0123456789')
    expect(file.readSync(target, 1)).toBe(9)
    await file.close()
  })

  it.each(['EINTR', 'EAGAIN'])('repeats reads and writes after %s', async (code) => {
    const file = vfs.openSync(at('a'), 'create')
    failTimes(5, code)
    await file.write(source, 0)
    failTimes(5, code)
    file.writeSync(source, 10)
    failTimes(5, code)
    expect(await file.read(Buffer.alloc(20), 0)).toBe(20)
    failTimes(5, code)
    expect(file.readSync(Buffer.alloc(20), 0)).toBe(20)
    await file.close()
  })

  it('gives up on a device that never stops asking to try again', async () => {
    const file = vfs.openSync(at('a'), 'create')
    failTimes(Infinity, 'EAGAIN')
    expect((await failure(file.write(source, 0))).facts.errno).toBe('EAGAIN')
    expect(failureSync(() => file.writeSync(source, 0)).facts.errno).toBe('EAGAIN')
    expect((await failure(file.read(Buffer.alloc(1), 0))).facts.errno).toBe('EAGAIN')
    expect(failureSync(() => file.readSync(Buffer.alloc(1), 0)).facts.errno).toBe('EAGAIN')
    await file.close()
  })

  it('takes a write of nothing for an I/O error', async () => {
    const file = vfs.openSync(at('a'), 'create')
    vi.spyOn(fs, 'writeSync').mockReturnValue(0)
    vi.spyOn(fs, 'write').mockImplementation(((...given: unknown[]) =>
      (given.at(-1) as (error: null, count: number) => void)(null, 0)) as typeof fs.write)
    expect((await failure(file.write(source, 0))).code).toBe('KINTSUGI_IO')
    expect(failureSync(() => file.writeSync(source, 0)).code).toBe('KINTSUGI_IO')
    await file.close()
  })

  it('never repeats a failed sync', async () => {
    const file = vfs.openSync(at('a'), 'create')
    const error = Object.assign(new Error('again'), { code: 'EINTR' })
    const sync = vi.spyOn(fs, 'fdatasync').mockImplementation((_, done) => done(error))
    const syncSync = vi.spyOn(fs, 'fdatasyncSync').mockImplementation(() => {
      throw error
    })
    expect((await failure(file.datasync())).facts).toMatchObject({ operation: 'datasync' })
    expect((await failure(file.writeAndDatasync(source, 0))).code).toBe('KINTSUGI_IO')
    expect(failureSync(() => file.datasyncSync()).cause).toBe(error)
    expect([sync.mock.calls.length, syncSync.mock.calls.length]).toEqual([2, 1])
    await file.close()
  })

  /** The next `count` reads or writes fail with `code`. */
  function failTimes(count: number, code: string) {
    vi.restoreAllMocks()
    let left = count
    for (const name of ['read', 'write', 'readSync', 'writeSync'] as const) {
      const real = fs[name] as (...given: unknown[]) => unknown
      vi.spyOn(fs, name).mockImplementation(((...given: unknown[]) => {
        if (left === 0) return real(...given)
        left -= 1
        const error = Object.assign(new Error('injected'), { code })
        const done = given.at(-1)
        if (typeof done !== 'function') throw error
        return process.nextTick(done as (error: Error) => void, error)
      }) as never)
    }
  }
})

describe.each([true, false].filter((native) => !native || loadNativeBinding()))(
  'errors of the operating system (native: %s)',
  (native) => {
    const vfs = new NodeVfs({ native })

    it('refuses a path with a NUL as an argument, not as a disk that fails', async () => {
      for (const error of [
        await failure(vfs.open('a\0b', 'create')),
        failureSync(() => vfs.openSync('a\0b', 'create')),
        await failure(vfs.readdir('a\0b')),
        failureSync(() => vfs.statSync('a\0b')),
        failureSync(() => vfs.lockSync('a\0b', { exclusive: true, now: 0 }))
      ]) {
        expect(error.code).toBe('KINTSUGI_INVALID_ARGUMENT')
      }
    })

    it('closes only once nothing is in flight, and refuses to close under an operation', async () => {
      const file = vfs.openSync(at('a'), 'create')
      const write = file.writeAndDatasync(Buffer.alloc(1 << 20), 0)
      expect(failureSync(() => file.closeSync()).code).toBe('KINTSUGI_INTERNAL')
      await write
      file.closeSync()
    })

    it('reports a file size limit as a full disk, whatever the form, and goes on', () => {
      const result = inChild(
        native,
        `for (const attempt of [
           (file) => file.writeSync(big, 0), (file) => file.write(big, 0),
           (file) => file.writeAndDatasync(big, 0),
           (file) => file.allocateSync(big.length), (file) => file.allocate(big.length)
         ]) {
           const file = vfs.openSync(path + said.length, 'create')
           try { await attempt(file); say('no error') } catch (e) { say([e.code, e.facts.errno]) }
           file.writeSync(big.subarray(0, 1000), 0)
           await file.close()
         }`,
        { ulimit: '-f 128' }
      )
      const expected = ['KINTSUGI_DISK_FULL', 'EFBIG']
      expect(result).toEqual([expected, expected, expected, expected, expected])
    })

    it('reports too many open files as such', () => {
      const result = inChild(
        native,
        `try { for (let i = 0; ; i += 1) vfs.openSync(path + i, 'create') }
         catch (error) { say(error.code) }
         try { await vfs.open(path + 'x', 'create') } catch (error) { say(error.code) }
         try { await vfs.syncDirectory('/') } catch (error) { say(error.code) }
         try { vfs.lockSync(path, { exclusive: true, now: 0 }) } catch (error) { say(error.code) }`,
        { ulimit: '-n 64' }
      )
      expect(result).toEqual(Array(4).fill('KINTSUGI_TOO_MANY_FILES'))
    })

    it('reports a read-only directory as a lack of permission', () => {
      fs.writeFileSync(at('there'), 'x')
      fs.mkdirSync(at('locked'))
      fs.chmodSync(at('locked'), 0o555)
      fs.chmodSync(directory, 0o755)
      const result = inChild(
        native,
        `for (const attempt of [
           () => vfs.open(path + '/a', 'create'), () => vfs.mkdirSync(path + '/d'),
           () => vfs.lockSync(path + '/LOCK', { exclusive: true, now: 0 }),
           () => vfs.lockSync(path + '/LOCK', { exclusive: false, now: 0 }),
           () => vfs.openSync(path + '/../there', 'readwrite'),
           () => vfs.unlinkSync(path + '/../there'), () => vfs.rename(path + '/../there', path + '/b')
         ]) try { await attempt(); say('no error') } catch (error) { say(error.code) }
         say(vfs.readdirSync(path))`,
        { path: at('locked'), unprivileged: true }
      )
      expect(result).toEqual([...Array(7).fill('KINTSUGI_PERMISSION'), []])
    })

    it('exits at once, and well, with writes in flight', () => {
      const result = inChild(
        native,
        `const file = vfs.openSync(path, 'create')
         for (let i = 0; i < 100; i += 1) void file.writeAndDatasync(big, i * 100)
         say('leaving')
         process.exit(0)`
      )
      expect(result).toEqual(['leaving'])
    })

    it('survives threads that are terminated with writes in flight', () => {
      const result = inChild(
        native,
        `const { Worker } = await import('node:worker_threads')
         for (let round = 0; round < 5; round += 1) {
           const worker = new Worker(\`
             const { parentPort } = require('node:worker_threads')
             import(\${JSON.stringify(nodeVfsUrl)}).then(({ NodeVfs }) => {
               const file = new NodeVfs({ native: ${native} }).openSync(
                 \${JSON.stringify(path + round)}, 'create')
               for (let i = 0; i < 40; i += 1)
                 file.writeAndDatasync(Buffer.alloc(100000), i).catch(() => {})
               parentPort.postMessage('started')
             })\`, { eval: true, execArgv: [] })
           await new Promise((resolve) => worker.once('message', resolve))
           await worker.terminate()
         }
         say('alive')`
      )
      expect(result).toEqual(['alive'])
    })

    it('keeps the bytes alive that are being written', () => {
      const result = inChild(
        native,
        `const file = vfs.openSync(path, 'create')
         const writes = []
         for (let i = 0; i < 60; i += 1) {
           writes.push(file.writeAndDatasync(new Uint8Array(50000).fill(i), i * 50000))
           gc()
           new Uint8Array(50000).fill(255)
         }
         await Promise.all(writes)
         const target = Buffer.alloc(60 * 50000)
         file.readSync(target, 0)
         say(target.every((byte, at) => byte === Math.floor(at / 50000)))`,
        { flags: ['--expose-gc'] }
      )
      expect(result).toEqual([true])
    })
  }
)

describe('reading what the operating system has in memory', () => {
  it('never happens without the addon', () => {
    fs.writeFileSync(at('a'), 'x')
    const file = new NodeVfs({ native: false }).openSync(at('a'), 'read')
    expect(file.tryRead(Buffer.alloc(1), 0)).toBe(false)
    file.closeSync()
  })

  describe.runIf(loadNativeBinding())('with the addon', () => {
    const native = loadNativeBinding()!
    const source = Buffer.alloc(100_000, 'what was just written is in memory. ')

    it.runIf(process.platform === 'linux')('reads what was just written', () => {
      const file = new NodeVfs({ native: true }).openSync(at('a'), 'create')
      file.writeSync(source, 0)
      const target = Buffer.alloc(8192)
      expect(file.tryRead(target, 5000)).toBe(true)
      expect(target.equals(source.subarray(5000, 13_192))).toBe(true)
      file.closeSync()
    })

    it('counts what it read, and refuses what is no descriptor, no memory or no position', () => {
      fs.writeFileSync(at('a'), source)
      const fd = fs.openSync(at('a'), 'r')
      const target = Buffer.alloc(8192)
      const answers = [fd, fd, fd].map((of, i) => native.readCached(of, target, i * 49_000))
      for (const [i, count] of [8192, 8192, 2000].entries()) {
        expect([count, -1, 'ENOTSUP']).toContain(answers[i])
      }
      const wrong = native as unknown as { readCached(...given: unknown[]): unknown }
      const bad = [[], [-1, target, 0], [fd, 'x', 0], [fd, target, -1], [fd, target, 0.5]]
      bad.push([fd, target, 2 ** 53 - 1], [1.5, target, 0], [fd, target])
      for (const given of bad) expect(wrong.readCached(...given)).toBe('EINVAL')
      fs.closeSync(fd)
      expect(['EBADF', 'ENOTSUP']).toContain(native.readCached(fd, target, 0))
    })

    it('asks no more where the file system cannot say', () => {
      let asked = 0
      const readCached = () => {
        asked++
        return 'ENOTSUP'
      }
      fs.writeFileSync(at('a'), source)
      const fd = fs.openSync(at('a'), 'r')
      const file = new NodeFile(at('a'), fd, { ...native, readCached })
      for (let i = 0; i < 3; i++) expect(file.tryRead(Buffer.alloc(10), 0)).toBe(false)
      expect(asked).toBe(1)
      file.closeSync()
    })

    it.each([-1, 0, 9, 'EIO'])('takes %s for no answer, and asks again', (answer) => {
      const answers = [answer, 10]
      const readCached = () => answers.shift()!
      fs.writeFileSync(at('a'), source)
      const fd = fs.openSync(at('a'), 'r')
      const file = new NodeFile(at('a'), fd, { ...native, readCached })
      expect(file.tryRead(Buffer.alloc(10), 0)).toBe(false)
      expect(file.tryRead(Buffer.alloc(10), 0)).toBe(true)
      file.closeSync()
    })
  })
})

const mountReason = isRoot && canMount() ? undefined : 'needs the right to mount a small tmpfs'

describe.skipIf(mountReason)(`a full file system (${mountReason ?? 'tmpfs of 1 MiB'})`, () => {
  let mount: string

  beforeEach(() => {
    mount = at('mount')
    fs.mkdirSync(mount)
    execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=1m', 'tmpfs', mount])
  })
  afterEach(() => {
    execFileSync('umount', ['-l', mount])
  })

  it.each([true, false])('fails writes with DISK_FULL and goes on (native: %s)', async (native) => {
    const vfs = new NodeVfs({ native })
    const big = Buffer.alloc(2 << 20, 1)
    vfs.lockSync(join(mount, 'LOCK'), { exclusive: true, now: 0 }).release()
    const attempts: ((file: VfsFile) => unknown)[] = [
      (file) => file.writeSync(big, 0),
      (file) => file.write(big, 0),
      (file) => file.writeAndDatasync(big, 0),
      (file) => file.allocateSync(big.length),
      (file) => file.allocate(big.length)
    ]
    for (const attempt of attempts) {
      const file = vfs.openSync(join(mount, 'a'), 'create')
      const error = await failure(Promise.resolve().then(() => attempt(file)))
      expect(error.code).toBe('KINTSUGI_DISK_FULL')
      expect(error.facts.errno).toBe('ENOSPC')
      await file.close()
      vfs.unlinkSync(join(mount, 'a'))
    }
    expect(await vfs.freeBytes(mount)).toBeLessThanOrEqual(1 << 20)
    const file = vfs.openSync(join(mount, 'a'), 'create')
    await file.writeAndDatasync(big.subarray(0, 1000), 0)
    await file.close()
  })

  it.runIf(loadNativeBinding())(
    'still locks with the addon, and allocated space is kept',
    async () => {
      const vfs = new NodeVfs({ native: true })
      vfs.lockSync(join(mount, 'LOCK'), { exclusive: true, now: 0 }).release()
      const reserved = vfs.openSync(join(mount, 'reserved'), 'create')
      await reserved.allocate(512 << 10)
      const filler = vfs.openSync(join(mount, 'filler'), 'create')
      failureSync(() => filler.writeSync(Buffer.alloc(1 << 20), 0))
      expect(await vfs.freeBytes(mount)).toBe(0)
      await reserved.writeAndDatasync(Buffer.alloc(512 << 10, 1), 0)
      vfs.lockSync(join(mount, 'LOCK'), { exclusive: true, now: 0 }).release()
      await reserved.close()
      await filler.close()
    }
  )
})

interface ChildOptions {
  ulimit?: string
  path?: string
  flags?: string[]
  /** Runs as another user if this is the superuser, who may do everything. */
  unprivileged?: boolean
}

/** Runs code in a process of its own, with `vfs`, `path`, `big` and `say`; answers what it said. */
function inChild(native: boolean, code: string, options: ChildOptions = {}): unknown[] {
  const script = `
    const nodeVfsUrl = ${JSON.stringify(nodeVfsUrl)}
    const { NodeVfs } = await import(nodeVfsUrl)
    const { writeSync } = await import('node:fs')
    const vfs = new NodeVfs({ native: ${native} })
    if (vfs.spec.native !== ${native}) throw new Error('wrong binding')
    const path = ${JSON.stringify(options.path ?? at('file'))}
    const big = Buffer.alloc(200000, 1)
    const said = []
    const say = (what) => { said.push(what); writeSync(1, JSON.stringify(what) + '\\n') }
    ${code}`
  const command = `${options.ulimit ? `ulimit ${options.ulimit}; ` : ''}exec "$@"`
  const user = options.unprivileged && isRoot ? { uid: 65534, gid: 65534 } : {}
  const result = spawnSync(
    'bash',
    [
      '-c',
      command,
      '-',
      process.execPath,
      ...(options.flags ?? []),
      '--input-type=module',
      '-e',
      script
    ],
    { encoding: 'utf8', cwd: fileURLToPath(new URL('../..', import.meta.url)), ...user }
  )
  if (result.status !== 0) throw new Error(`${result.signal ?? result.status}: ${result.stderr}`)
  return result.stdout
    .split('\n')
    .filter(Boolean)
    .map((line) => JSON.parse(line) as unknown)
}

function canMount(): boolean {
  const probe = fs.mkdtempSync(join(tmpdir(), 'kintsugi-mount-'))
  const mounted = spawnSync('mount', ['-t', 'tmpfs', '-o', 'size=64k', 'tmpfs', probe]).status === 0
  if (mounted) execFileSync('umount', [probe])
  fs.rmdirSync(probe)
  return mounted
}
