import { spawnSync } from 'node:child_process'
import { pbkdf2 } from 'node:crypto'
import fs from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import v8 from 'node:v8'
import vm from 'node:vm'
import { createRequire } from 'node:module'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { loadNativeBinding } from '../dist/native-binding.js'

const native = loadNativeBinding()!

describe.skipIf(!native)('the native addon', () => {
  let directory: string
  let fd: number
  beforeAll(() => {
    directory = fs.mkdtempSync(join(tmpdir(), 'kintsugi-native-'))
    fd = fs.openSync(join(directory, 'file'), 'w+')
  })
  afterAll(() => {
    fs.closeSync(fd)
    fs.rmSync(directory, { recursive: true })
  })

  const notIntegers = [undefined, null, -1, 1.5, NaN, Infinity, 2 ** 53, '1', 1n, {}, [], () => 0]

  it('answers EINVAL to every bad argument, and never throws', async () => {
    const bytes = Buffer.alloc(10)
    const call = (name: keyof typeof native, ...given: unknown[]) =>
      (native[name] as (...given: unknown[]) => unknown)(...given)
    for (const bad of [...notIntegers, 2 ** 31]) {
      expect(call('tryLock', bad, true)).toBe('EINVAL')
      expect(call('allocateSync', bad, 10)).toBe('EINVAL')
      expect(await call('allocate', bad, 10)).toBe('EINVAL')
      expect(await call('writeAndDatasync', bad, bytes, 0)).toBe('EINVAL')
    }
    for (const bad of [...notIntegers, Number.MAX_SAFE_INTEGER - 9]) {
      expect(await call('writeAndDatasync', fd, bytes, bad)).toBe('EINVAL')
    }
    for (const bad of notIntegers) {
      expect(call('allocateSync', fd, bad)).toBe('EINVAL')
      expect(await call('allocate', fd, bad)).toBe('EINVAL')
      expect(await call('writeAndDatasync', fd, bad, 0)).toBe('EINVAL')
      expect(call('tryLock', fd, bad)).toBe('EINVAL')
    }
    expect(await call('writeAndDatasync', fd, new ArrayBuffer(3), 0)).toBe('EINVAL')
    for (const name of ['tryLock', 'allocateSync', 'allocate', 'writeAndDatasync'] as const) {
      expect(await call(name)).toBe('EINVAL')
    }
    expect(fs.fstatSync(fd).size).toBe(0)
  })

  it('answers with the name of the errno', async () => {
    const readOnly = fs.openSync(join(directory, 'file'), 'r')
    expect(await native.writeAndDatasync(readOnly, Buffer.alloc(1), 0)).toBe('EBADF')
    expect(native.tryLock(readOnly, true)).toBe('EBADF')
    expect(native.allocateSync(readOnly, 10)).toBe('EBADF')
    expect(await native.allocate(1_000_000, 10)).toBe('EBADF')
    fs.closeSync(readOnly)
  })

  it('writes from every kind of view, also of shared memory and after detaching to nothing', async () => {
    const shared = new Uint8Array(new SharedArrayBuffer(4)).fill(65)
    expect(await native.writeAndDatasync(fd, shared, 0)).toBeUndefined()
    const words = new Uint16Array([0x4242, 0x4343]) as unknown as Uint8Array
    expect(await native.writeAndDatasync(fd, words, 4)).toBeUndefined()
    const detached = new Uint8Array(8)
    structuredClone(detached.buffer, { transfer: [detached.buffer] })
    expect(await native.writeAndDatasync(fd, detached, 100)).toBeUndefined()
    expect(fs.readFileSync(join(directory, 'file'), 'latin1')).toBe('AAAABBCC')
  })

  it('allocates real space and locks without waiting', () => {
    expect(native.allocateSync(fd, 1 << 20)).toBeUndefined()
    expect(fs.fstatSync(fd).size).toBe(1 << 20)
    expect(fs.fstatSync(fd).blocks * 512).toBeGreaterThanOrEqual(1 << 20)
    const other = fs.openSync(join(directory, 'file'), 'r+')
    expect(native.tryLock(fd, true)).toBeUndefined()
    expect(native.tryLock(other, false)).toBe('EAGAIN')
    expect(native.tryLock(fd, false)).toBeUndefined()
    expect(native.tryLock(other, false)).toBeUndefined()
    fs.closeSync(other)
  })

  it('names the boot', () => {
    expect(native.bootId()).toMatch(/^[0-9a-f-]{36}$/i)
    expect(native.bootId()).toBe(native.bootId())
  })

  it('can be loaded by several contexts of one process', async () => {
    const require = createRequire(import.meta.url)
    const path = `../prebuilds/${process.platform}-${process.arch}/kintsugi.node`
    const load = vm.runInNewContext('(require, path) => require(path)') as (
      require: NodeJS.Require,
      path: string
    ) => typeof native
    delete require.cache[require.resolve(path)]
    const second = load(require, path)
    expect(second).not.toBe(native)
    expect(await second.writeAndDatasync(fd, Buffer.from('x'), 0)).toBeUndefined()
    expect(await native.writeAndDatasync(fd, Buffer.from('y'), 0)).toBeUndefined()
  })

  it('keeps the bytes alive while they wait for a thread', async () => {
    v8.setFlagsFromString('--expose-gc')
    const collect = vm.runInNewContext('gc') as () => void
    const busy = Array.from(
      { length: 8 },
      () => new Promise((resolve) => pbkdf2('x', 'y', 400_000, 32, 'sha512', resolve))
    )
    let settled = false
    const start = () => {
      const bytes = Buffer.alloc(100_000, 1)
      const write = native.writeAndDatasync(fd, bytes, 0).finally(() => {
        settled = true
      })
      return { write, weak: new WeakRef(bytes) }
    }
    const { write, weak } = start()
    await sleep(5)
    collect()
    expect(settled).toBe(false)
    expect(weak.deref()).toBeDefined()
    await Promise.all([write, ...busy])
    await sleep(5)
    collect()
    expect(weak.deref()).toBeUndefined()
  })

  const hasCompiler = spawnSync('cc', ['--version']).status === 0

  it.runIf(process.platform === 'linux' && hasCompiler)(
    'continues short and interrupted writes, and never repeats a sync',
    () => {
      const source = join(directory, 'shim.c')
      const library = join(directory, 'shim.so')
      fs.writeFileSync(source, shim)
      expect(spawnSync('cc', ['-shared', '-fPIC', '-o', library, source, '-ldl']).status).toBe(0)
      const target = join(directory, 'short')
      const script = `
        const native = require(${JSON.stringify(addonPath)})
        const fs = require('node:fs')
        const fd = fs.openSync(${JSON.stringify(target)}, 'w')
        const bytes = Buffer.from(Array.from({ length: 1000 }, (_, i) => i))
        native.writeAndDatasync(fd, bytes, 10).then((errno) => console.log(String(errno)))`
      const env = { ...process.env, LD_PRELOAD: library }
      const result = spawnSync(process.execPath, ['-e', script], { env, encoding: 'utf8' })
      expect(result.stdout.trim()).toBe('EINTR')
      expect(result.stderr).toBe('datasync\n')
      const expected = Buffer.from(Array.from({ length: 1000 }, (_, i) => i))
      expect(fs.readFileSync(target).subarray(10).equals(expected)).toBe(true)
    }
  )
})

const addonPath = join(
  import.meta.dirname,
  `../prebuilds/${process.platform}-${process.arch}/kintsugi.node`
)

/** Every third write is interrupted, the others take 7 bytes; every sync is interrupted. */
const shim = `
  #define _GNU_SOURCE
  #include <dlfcn.h>
  #include <errno.h>
  #include <stdint.h>
  #include <unistd.h>
  static int calls;
  ssize_t pwrite64(int fd, const void *data, size_t size, int64_t at) {
    ssize_t (*real)(int, const void *, size_t, int64_t) = dlsym(RTLD_NEXT, "pwrite64");
    if (++calls % 3 == 0) { errno = EINTR; return -1; }
    return real(fd, data, size < 7 ? size : 7, at);
  }
  ssize_t pwrite(int fd, const void *data, size_t size, off_t at) {
    return pwrite64(fd, data, size, at);
  }
  int fdatasync(int fd) {
    (void)fd;
    write(2, "datasync\\n", 9);
    errno = EINTR;
    return -1;
  }
`
