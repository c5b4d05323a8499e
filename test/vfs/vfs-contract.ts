import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import type { ErrorCode, KintsugiError } from '../../dist/errors.js'
import type { OpenMode, Vfs, VfsFile } from '../../dist/vfs/vfs.js'

/** A file system under test and an empty directory in it. */
export interface VfsFixture {
  readonly vfs: Vfs
  readonly root: string
  /** Called after every test. */
  cleanup(): void | Promise<void>
}

/** The operations that exist in two forms, called the same way by every test below. */
interface Form {
  open(vfs: Vfs, path: string, mode: OpenMode): Promise<VfsFile>
  read(file: VfsFile, target: Uint8Array, position: number): Promise<number>
  write(file: VfsFile, source: Uint8Array, position: number): Promise<void>
  datasync(file: VfsFile): Promise<void>
  allocate(file: VfsFile, sizeBytes: number): Promise<void>
  truncate(file: VfsFile, sizeBytes: number): Promise<void>
  close(file: VfsFile): Promise<void>
  readdir(vfs: Vfs, path: string): Promise<string[]>
  rename(vfs: Vfs, from: string, to: string): Promise<void>
  unlink(vfs: Vfs, path: string): Promise<void>
  syncDirectory(vfs: Vfs, path: string): Promise<void>
}

const asynchronous: Form = {
  open: (vfs, path, mode) => vfs.open(path, mode),
  read: (file, target, position) => file.read(target, position),
  write: (file, source, position) => file.write(source, position),
  datasync: (file) => file.datasync(),
  allocate: (file, sizeBytes) => file.allocate(sizeBytes),
  truncate: (file, sizeBytes) => file.truncate(sizeBytes),
  close: (file) => file.close(),
  readdir: (vfs, path) => vfs.readdir(path),
  rename: (vfs, from, to) => vfs.rename(from, to),
  unlink: (vfs, path) => vfs.unlink(path),
  syncDirectory: (vfs, path) => vfs.syncDirectory(path)
}

const synchronous: Form = {
  open: async (vfs, path, mode) => vfs.openSync(path, mode),
  read: async (file, target, position) => file.readSync(target, position),
  write: async (file, source, position) => file.writeSync(source, position),
  datasync: async (file) => file.datasyncSync(),
  allocate: async (file, sizeBytes) => file.allocateSync(sizeBytes),
  truncate: async (file, sizeBytes) => file.truncateSync(sizeBytes),
  close: async (file) => file.closeSync(),
  readdir: async (vfs, path) => vfs.readdirSync(path),
  rename: async (vfs, from, to) => vfs.renameSync(from, to),
  unlink: async (vfs, path) => vfs.unlinkSync(path),
  syncDirectory: async (vfs, path) => vfs.syncDirectorySync(path)
}

/** What every implementation of `Vfs` must do; run it with a factory for each. */
export function vfsContract(name: string, create: () => VfsFixture | Promise<VfsFixture>) {
  let fixture: VfsFixture
  const at = (...names: string[]) => join(fixture.root, ...names)

  describe(`${name}: the contract of a file system`, () => {
    beforeEach(async () => {
      fixture = await create()
    })
    afterEach(() => fixture.cleanup())

    describe.each([
      ['asynchronous', asynchronous],
      ['synchronous', synchronous]
    ])('%s', (_, form) => {
      openingTests(form, () => fixture, at)
      contentTests(form, () => fixture, at)
      sizeTests(form, () => fixture, at)
      nameTests(form, () => fixture, at)
    })
    describe('reading without waiting', () => tryReadTests(() => fixture, at))
    describe('files in flight', () => inFlightTests(() => fixture, at))
    describe('directories', () => directoryTests(() => fixture, at))
    describe('locks', () => lockTests(() => fixture, at))
  })
}

type At = (...names: string[]) => string

function openingTests(form: Form, fixture: () => VfsFixture, at: At) {
  it('creates a file that was not there, readable and writable', async () => {
    const file = await form.open(fixture().vfs, at('a'), 'create')
    expect(file.path).toBe(at('a'))
    expect(file.sizeSync()).toBe(0)
    await form.write(file, bytes('x'), 0)
    expect(await contentOf(form, file)).toBe('x')
    await form.close(file)
  })

  it('refuses to create a file that is there, and leaves it alone', async () => {
    await put(form, fixture(), at('a'), 'kept')
    const error = await failure(form.open(fixture().vfs, at('a'), 'create'))
    expect(error.code).toBe('KINTSUGI_FILE_EXISTS')
    expect(error.facts).toMatchObject({ path: at('a'), operation: 'open', errno: 'EEXIST' })
    expect(await get(form, fixture(), at('a'))).toBe('kept')
  })

  it.each(['read', 'readwrite'] as const)('does not create a file for mode %s', async (mode) => {
    const error = await failure(form.open(fixture().vfs, at('a'), mode))
    expect(error.code).toBe('KINTSUGI_FILE_MISSING')
    expect(fixture().vfs.statSync(at('a'))).toBeUndefined()
  })

  it('reports a missing parent directory', async () => {
    const error = await failure(form.open(fixture().vfs, at('none', 'a'), 'create'))
    expect(error.code).toBe('KINTSUGI_FILE_MISSING')
  })

  it('reports a parent that is a file', async () => {
    await put(form, fixture(), at('a'), 'file')
    const error = await failure(form.open(fixture().vfs, at('a', 'b'), 'create'))
    expect(error.code).toBe('KINTSUGI_FILE_MISSING')
  })

  it('keeps the contents when it opens for writing', async () => {
    await put(form, fixture(), at('a'), 'abc')
    const file = await form.open(fixture().vfs, at('a'), 'readwrite')
    await form.write(file, bytes('X'), 1)
    expect(await contentOf(form, file)).toBe('aXc')
    await form.close(file)
  })

  it('refuses to write to a file opened for reading', async () => {
    await put(form, fixture(), at('a'), 'abc')
    const file = await form.open(fixture().vfs, at('a'), 'read')
    await failure(form.write(file, bytes('X'), 0))
    await failure(form.truncate(file, 0))
    expect(await contentOf(form, file)).toBe('abc')
    await form.close(file)
  })

  it('allows closing twice and takes any other use after closing for a defect', async () => {
    const file = await form.open(fixture().vfs, at('a'), 'create')
    await form.close(file)
    await form.close(file)
    const uses = [
      () => form.read(file, Buffer.alloc(1), 0),
      () => form.write(file, bytes('x'), 0),
      () => form.datasync(file),
      () => form.allocate(file, 1),
      () => form.truncate(file, 1),
      async () => file.sizeSync(),
      () => file.writeAndDatasync(bytes('x'), 0)
    ]
    for (const use of uses) expect((await failure(use())).code).toBe('KINTSUGI_INTERNAL')
  })
}

function contentTests(form: Form, fixture: () => VfsFixture, at: At) {
  it('reads at a position, and fewer bytes only at the end', async () => {
    await put(form, fixture(), at('a'), '0123456789')
    const file = await form.open(fixture().vfs, at('a'), 'read')
    const target = Buffer.alloc(4, '-')
    expect(await form.read(file, target, 2)).toBe(4)
    expect(target.toString()).toBe('2345')
    expect(await form.read(file, target, 8)).toBe(2)
    expect(target.toString()).toBe('8945')
    expect(await form.read(file, target, 10)).toBe(0)
    expect(await form.read(file, target, 1_000_000)).toBe(0)
    expect(await form.read(file, Buffer.alloc(0), 3)).toBe(0)
    await form.close(file)
  })

  it('reads into and writes from views of larger buffers, touching nothing beside them', async () => {
    const file = await form.open(fixture().vfs, at('a'), 'create')
    const source = new Uint8Array(bytes('..abc..')).subarray(2, 5)
    await form.write(file, source, 0)
    await file.writeAndDatasync(source, 3)
    const target = Buffer.alloc(8, '-')
    expect(await form.read(file, target.subarray(1, 7), 0)).toBe(6)
    expect(target.toString()).toBe('-abcabc-')
    await form.close(file)
  })

  it('fills the gap before a write behind the end with zeros', async () => {
    const file = await form.open(fixture().vfs, at('a'), 'create')
    await form.write(file, bytes('x'), 3)
    expect(await contentOf(form, file)).toBe('\0\0\0x')
    await form.close(file)
  })

  it('writes nothing for an empty source, wherever it points', async () => {
    const file = await form.open(fixture().vfs, at('a'), 'create')
    await form.write(file, Buffer.alloc(0), 100)
    await file.writeAndDatasync(Buffer.alloc(0), 100)
    expect(file.sizeSync()).toBe(0)
    await form.close(file)
  })

  it('writes and reads back several mebibytes', async () => {
    const file = await form.open(fixture().vfs, at('a'), 'create')
    const source = Buffer.alloc(5 << 20)
    for (let i = 0; i < source.length; i += 1) source[i] = (i * 31) >>> 8
    await form.write(file, source, 12_345)
    const target = Buffer.alloc(source.length)
    expect(await form.read(file, target, 12_345)).toBe(source.length)
    expect(target.equals(source)).toBe(true)
    await form.close(file)
  })

  it('shows a write through every other open handle at once', async () => {
    const writer = await form.open(fixture().vfs, at('a'), 'create')
    const reader = await form.open(fixture().vfs, at('a'), 'read')
    await form.write(writer, bytes('abc'), 0)
    expect(await contentOf(form, reader)).toBe('abc')
    await form.datasync(writer)
    await form.close(writer)
    expect(await contentOf(form, reader)).toBe('abc')
    await form.close(reader)
  })
}

function sizeTests(form: Form, fixture: () => VfsFixture, at: At) {
  it('allocates with zeros, keeps the contents and never shrinks', async () => {
    const file = await form.open(fixture().vfs, at('a'), 'create')
    await form.write(file, bytes('abc'), 0)
    await form.allocate(file, 6)
    expect(await contentOf(form, file)).toBe('abc\0\0\0')
    await form.allocate(file, 2)
    expect(file.sizeSync()).toBe(6)
    await form.allocate(file, 3 << 20)
    expect(file.sizeSync()).toBe(3 << 20)
    const target = Buffer.alloc(3 << 20, 1)
    expect(await form.read(file, target, 6)).toBe((3 << 20) - 6)
    expect(target.subarray(0, (3 << 20) - 6).every((byte) => byte === 0)).toBe(true)
    await form.close(file)
  })

  it('allocates nothing for a size of zero', async () => {
    const file = await form.open(fixture().vfs, at('a'), 'create')
    await form.allocate(file, 0)
    expect(file.sizeSync()).toBe(0)
    await form.close(file)
  })

  it('cuts and extends; what was cut does not come back', async () => {
    const file = await form.open(fixture().vfs, at('a'), 'create')
    await form.write(file, bytes('abcdef'), 0)
    await form.truncate(file, 2)
    expect(await contentOf(form, file)).toBe('ab')
    await form.truncate(file, 5)
    expect(await contentOf(form, file)).toBe('ab\0\0\0')
    expect(fixture().vfs.statSync(at('a'))).toMatchObject({ sizeBytes: 5, isDirectory: false })
    await form.close(file)
  })
}

function nameTests(form: Form, fixture: () => VfsFixture, at: At) {
  it('lists the names in a directory, sorted by code unit', async () => {
    for (const name of ['b', 'a10', 'B', 'a9']) await put(form, fixture(), at(name), '')
    fixture().vfs.mkdirSync(at('c'))
    expect(await form.readdir(fixture().vfs, fixture().root)).toEqual(['B', 'a10', 'a9', 'b', 'c'])
    expect(await form.readdir(fixture().vfs, at('c'))).toEqual([])
  })

  it('reports a missing directory, and a file in its place', async () => {
    await put(form, fixture(), at('a'), '')
    for (const name of ['none', 'a']) {
      const error = await failure(form.readdir(fixture().vfs, at(name)))
      expect(error.code).toBe('KINTSUGI_FILE_MISSING')
      expect(error.facts).toMatchObject({ path: at(name), operation: 'readdir' })
    }
    const error = await failure(form.syncDirectory(fixture().vfs, at('none')))
    expect(error.code).toBe('KINTSUGI_FILE_MISSING')
    await form.syncDirectory(fixture().vfs, fixture().root)
  })

  it('renames over an existing file; open handles follow their file', async () => {
    await put(form, fixture(), at('a'), 'new')
    await put(form, fixture(), at('b'), 'old')
    const renamed = await form.open(fixture().vfs, at('a'), 'read')
    const replaced = await form.open(fixture().vfs, at('b'), 'read')
    await form.rename(fixture().vfs, at('a'), at('b'))
    expect(await form.readdir(fixture().vfs, fixture().root)).toEqual(['b'])
    expect(await get(form, fixture(), at('b'))).toBe('new')
    expect(await contentOf(form, renamed)).toBe('new')
    expect(await contentOf(form, replaced)).toBe('old')
    await form.close(renamed)
    await form.close(replaced)
  })

  it('renames a directory with what is in it', async () => {
    fixture().vfs.mkdirSync(at('d'))
    await put(form, fixture(), at('d', 'a'), 'inside')
    await form.rename(fixture().vfs, at('d'), at('e'))
    expect(await get(form, fixture(), at('e', 'a'))).toBe('inside')
    expect(fixture().vfs.statSync(at('d'))).toBeUndefined()
  })

  it('reports a rename of nothing', async () => {
    const error = await failure(form.rename(fixture().vfs, at('none'), at('b')))
    expect(error.code).toBe('KINTSUGI_FILE_MISSING')
    expect(error.facts).toMatchObject({ path: at('none'), operation: 'rename' })
  })

  it('gives a file a second name, which keeps it when the first one goes', async () => {
    await put(form, fixture(), at('a'), 'text')
    const { vfs } = fixture()
    await vfs.link(at('a'), at('b'))
    expect(await get(form, fixture(), at('b'))).toBe('text')
    await form.unlink(vfs, at('a'))
    expect(vfs.statSync(at('a'))).toBeUndefined()
    expect(await get(form, fixture(), at('b'))).toBe('text')
  })

  it('refuses a second name that is taken, and one for nothing', async () => {
    await put(form, fixture(), at('a'), 'one')
    await put(form, fixture(), at('b'), 'two')
    const { vfs } = fixture()
    expect((await failure(vfs.link(at('a'), at('b')))).code).toBe('KINTSUGI_FILE_EXISTS')
    expect(await get(form, fixture(), at('b'))).toBe('two')
    expect((await failure(vfs.link(at('none'), at('c')))).code).toBe('KINTSUGI_FILE_MISSING')
  })

  it('unlinks a name at once; an open handle keeps the file', async () => {
    await put(form, fixture(), at('a'), 'abc')
    const file = await form.open(fixture().vfs, at('a'), 'readwrite')
    await form.unlink(fixture().vfs, at('a'))
    expect(fixture().vfs.statSync(at('a'))).toBeUndefined()
    await form.write(file, bytes('X'), 0)
    expect(await contentOf(form, file)).toBe('Xbc')
    await put(form, fixture(), at('a'), 'another')
    expect(await contentOf(form, file)).toBe('Xbc')
    await form.close(file)
    expect(await get(form, fixture(), at('a'))).toBe('another')
  })

  it('reports an unlink of nothing', async () => {
    const error = await failure(form.unlink(fixture().vfs, at('none')))
    expect(error.code).toBe('KINTSUGI_FILE_MISSING')
    expect(error.facts).toMatchObject({ path: at('none'), operation: 'unlink', errno: 'ENOENT' })
  })
}

/** Whether it reads at all is the file system's business; what it reads has to be right. */
function tryReadTests(fixture: () => VfsFixture, at: At) {
  it('fills all of the target with what is there, or answers false', async () => {
    const file = await fixture().vfs.open(at('a'), 'create')
    const source = Buffer.alloc(50_000, 'some bytes ')
    await file.write(source, 0)
    for (let position = 0; position < 40_000; position += 997) {
      const target = Buffer.alloc(8194, '-')
      const inner = target.subarray(1, 8193)
      if (file.tryRead(inner, position)) {
        expect(inner.equals(source.subarray(position, position + 8192))).toBe(true)
      }
      expect([target[0], target[8193]]).toEqual([45, 45])
    }
    await file.write(bytes('changed'), 100)
    const target = Buffer.alloc(7)
    for (let i = 0; i < 10; i++) if (file.tryRead(target, 100)) expect(`${target}`).toBe('changed')
    await file.close()
  })

  it('answers false where the file ends before, whatever is cached', async () => {
    const file = await fixture().vfs.open(at('a'), 'create')
    await file.write(bytes('0123456789'), 0)
    for (let i = 0; i < 10; i++) {
      expect(file.tryRead(Buffer.alloc(5), 6)).toBe(false)
      expect(file.tryRead(Buffer.alloc(5), 1_000_000)).toBe(false)
    }
    await file.close()
  })

  it('is a defect after closing', async () => {
    const file = await fixture().vfs.open(at('a'), 'create')
    await file.close()
    const error = await failure((async () => file.tryRead(Buffer.alloc(1), 0))())
    expect(error.code).toBe('KINTSUGI_INTERNAL')
  })
}

function inFlightTests(fixture: () => VfsFixture, at: At) {
  it('closes only after every operation that was started', async () => {
    const file = await fixture().vfs.open(at('a'), 'create')
    const chunk = Buffer.alloc(64 << 10, 'x')
    const pending: Promise<unknown>[] = []
    for (let i = 0; i < 16; i += 1) pending.push(file.write(chunk, i * chunk.length))
    pending.push(file.writeAndDatasync(chunk, 16 * chunk.length), file.datasync())
    await file.close()
    await Promise.all(pending)
    expect(fixture().vfs.statSync(at('a'))?.sizeBytes).toBe(17 * chunk.length)
  })

  it('lands every one of many concurrent durable writes', async () => {
    const file = await fixture().vfs.open(at('a'), 'create')
    const writes = Array.from({ length: 50 }, (_, i) =>
      file.writeAndDatasync(bytes(String(i).padStart(4)), i * 4)
    )
    await Promise.all(writes)
    const expected = Array.from({ length: 50 }, (_, i) => String(i).padStart(4)).join('')
    expect(await contentOf(asynchronous, file)).toBe(expected)
    await file.close()
  })
}

function directoryTests(fixture: () => VfsFixture, at: At) {
  it('makes and removes directories one by one', () => {
    const { vfs } = fixture()
    vfs.mkdirSync(at('d'))
    vfs.mkdirSync(at('d', 'e'))
    expect(vfs.statSync(at('d', 'e'))).toMatchObject({ isDirectory: true })
    expect(failureSync(() => vfs.mkdirSync(at('d'))).code).toBe('KINTSUGI_FILE_EXISTS')
    expect(failureSync(() => vfs.mkdirSync(at('x', 'y'))).code).toBe('KINTSUGI_FILE_MISSING')
    expect(failureSync(() => vfs.rmdirSync(at('d'))).facts.errno).toBe('ENOTEMPTY')
    vfs.rmdirSync(at('d', 'e'))
    vfs.rmdirSync(at('d'))
    expect(vfs.statSync(at('d'))).toBeUndefined()
    expect(failureSync(() => vfs.rmdirSync(at('d'))).code).toBe('KINTSUGI_FILE_MISSING')
  })

  it('tells nothing from something, also below a file', async () => {
    await put(asynchronous, fixture(), at('a'), 'abc')
    expect(fixture().vfs.statSync(at('a'))).toMatchObject({ sizeBytes: 3, isDirectory: false })
    expect(fixture().vfs.statSync(at('a'))?.modifiedMs).toBeTypeOf('number')
    expect(fixture().vfs.statSync(at('none'))).toBeUndefined()
    expect(fixture().vfs.statSync(at('a', 'b'))).toBeUndefined()
  })

  it('knows how much room there is', async () => {
    expect(await fixture().vfs.freeBytes(fixture().root)).toBeGreaterThan(0)
  })
}

function lockTests(fixture: () => VfsFixture, at: At) {
  const lock = (name: string, exclusive: boolean) =>
    fixture().vfs.lockSync(at(name), { exclusive, now: 1_700_000_000_000 })
  const refusal = (name: string, exclusive: boolean) => failureSync(() => lock(name, exclusive))

  it('refuses every other locker beside an exclusive one, and names the owner', () => {
    const held = lock('LOCK', true)
    expect(held.exclusive).toBe(true)
    expect(held.previousOwner).toBeUndefined()
    for (const exclusive of [true, false]) {
      const error = refusal('LOCK', exclusive)
      expect(error.code).toBe('KINTSUGI_LOCKED')
      expect(error.facts.path).toBe(at('LOCK'))
      expect(error.facts.owner?.pid).toBeTypeOf('number')
      expect(error.facts.owner?.since).toBe('2023-11-14T22:13:20.000Z')
    }
    // A refusal, too, must leave the lock alone.
    expect(refusal('LOCK', true).code).toBe('KINTSUGI_LOCKED')
    held.release()
  })

  it('lets shared lockers in together and refuses an exclusive one until all are gone', () => {
    lock('LOCK', true).release()
    const first = lock('LOCK', false)
    const second = lock('LOCK', false)
    expect(refusal('LOCK', true).code).toBe('KINTSUGI_LOCKED')
    first.release()
    expect(refusal('LOCK', true).code).toBe('KINTSUGI_LOCKED')
    second.release()
    lock('LOCK', true).release()
  })

  it('lets the next in after a release, which counts once however often it is called', () => {
    const first = lock('LOCK', true)
    first.release()
    const second = lock('LOCK', true)
    expect(second.previousOwner).toBeUndefined()
    first.release()
    expect(refusal('LOCK', true).code).toBe('KINTSUGI_LOCKED')
    second.release()
  })

  it('knows a file by more than the spelling of its path', () => {
    fixture().vfs.mkdirSync(at('d'))
    const held = lock('LOCK', true)
    const spelling = `${fixture().root}/d/../LOCK`
    const error = failureSync(() => fixture().vfs.lockSync(spelling, { exclusive: true, now: 0 }))
    expect(error.code).toBe('KINTSUGI_LOCKED')
    held.release()
  })

  it('keeps locks on different files apart', () => {
    const one = lock('LOCK', true)
    const other = lock('OTHER', true)
    one.release()
    other.release()
  })

  it('reports a directory that is not there', () => {
    expect(refusal('none/LOCK', true).code).toBe('KINTSUGI_FILE_MISSING')
  })
}

const bytes = (text: string) => Buffer.from(text)

async function put(form: Form, { vfs }: VfsFixture, path: string, text: string) {
  const file = await form.open(vfs, path, 'create')
  await form.write(file, bytes(text), 0)
  await form.close(file)
}

async function get(form: Form, { vfs }: VfsFixture, path: string) {
  const file = await form.open(vfs, path, 'read')
  const text = await contentOf(form, file)
  await form.close(file)
  return text
}

async function contentOf(form: Form, file: VfsFile) {
  const target = Buffer.alloc(file.sizeSync())
  expect(await form.read(file, target, 0)).toBe(target.length)
  return target.toString()
}

/** The typed error of an operation that must fail. */
export async function failure(promise: Promise<unknown>): Promise<KintsugiError> {
  try {
    await promise
  } catch (error) {
    return typed(error)
  }
  throw new Error('expected a KintsugiError, but the operation succeeded')
}

export function failureSync(operation: () => unknown): KintsugiError {
  try {
    operation()
  } catch (error) {
    return typed(error)
  }
  throw new Error('expected a KintsugiError, but the operation succeeded')
}

function typed(error: unknown): KintsugiError {
  const candidate = error as KintsugiError
  if (candidate?.name !== 'KintsugiError') throw error
  return candidate satisfies { code: ErrorCode }
}
