import fs from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
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
})
