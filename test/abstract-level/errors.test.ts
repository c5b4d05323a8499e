import { spawn } from 'node:child_process'
import fs from 'node:fs'
import { join } from 'node:path'
import { ClassicLevel } from 'classic-level'
import { describe, expect, it } from 'vitest'
import { LevelError, levelError } from '../../dist/abstract-level/level-error.js'
import { KintsugiError } from '../../dist/index.js'
import { testedBackend } from '../helpers/tested-backend.js'
import { failure, useDatabases } from './databases.js'
import { forgetOwner } from '../helpers/forget-owner.js'

const databases = useDatabases()

describe('opening', () => {
  it('of a locked store fails as Level users expect, with the owner in the cause', async () => {
    const db = databases.make()
    await db.open()
    const error = await failure(() => databases.make({}, db.location).open())
    expect(error.code).toBe('LEVEL_DATABASE_NOT_OPEN')
    expect(error.cause?.code).toBe('LEVEL_LOCKED')
    const cause = error.cause?.cause as unknown as KintsugiError
    expect(cause).toBeInstanceOf(KintsugiError)
    expect(cause.code).toBe('KINTSUGI_LOCKED')
    expect(cause.facts.owner?.pid).toBe(process.pid)
    // What was called before it failed fails with it.
    const deferred = databases.make({}, db.location)
    expect((await failure(() => deferred.get('a'))).code).toBe('LEVEL_DATABASE_NOT_OPEN')
  })

  it('of a store that another process has open fails in the same way', async () => {
    const db = databases.make()
    await db.close()
    const program = `
      const { KintsugiLevel } = await import('kintsugi-db/level')
      const db = new KintsugiLevel(${JSON.stringify(db.location)}, { backend: '${testedBackend}' })
      await db.open()
      console.log('open')
      setInterval(() => {}, 1000)`
    const child = spawn(process.execPath, ['--input-type=module', '-e', program])
    try {
      await new Promise((resolve) => child.stdout.once('data', resolve))
      const error = await failure(() => db.open())
      expect(error.code).toBe('LEVEL_DATABASE_NOT_OPEN')
      expect(error.cause?.code).toBe('LEVEL_LOCKED')
    } finally {
      const closed = new Promise((resolve) => child.once('close', resolve))
      child.kill('SIGKILL')
      await closed
      forgetOwner(db.location)
    }
    await db.open()
    expect(db.status).toBe('open')
  })

  it('says when there is none, or one already', async () => {
    const none = await failure(() => databases.make().open({ createIfMissing: false }))
    expect(none.code).toBe('LEVEL_DATABASE_NOT_OPEN')
    expect(none.cause?.code).toBe('LEVEL_NOT_FOUND')
    expect(none.cause?.message).toMatch(/does not exist/)
    const db = databases.make()
    await db.open()
    await db.close()
    const one = await failure(() => db.open({ errorIfExists: true }))
    expect(one.cause?.code).toBe('LEVEL_INVALID_ARGUMENT')
    expect(one.cause?.message).toMatch(/exists/)
    expect(one.cause?.cause?.code).toBe('KINTSUGI_STORE_EXISTS')
  })

  it('refuses a directory of LevelDB and leaves it as it was', async () => {
    const location = databases.directory()
    const classic = new ClassicLevel(location)
    await classic.put('a', '1')
    await classic.close()
    const before = fs.readdirSync(location)
    const error = await failure(() => databases.make({}, location).open())
    expect(error.cause?.cause?.code).toBe('KINTSUGI_FOREIGN_DIRECTORY')
    expect(fs.readdirSync(location)).toEqual(before)
    await classic.open()
    expect(await classic.get('a')).toBe('1')
    await classic.close()
  })

  it('refuses a store of another backend and names both', async () => {
    const db = databases.make()
    await db.open()
    await db.close()
    const other = testedBackend === 'btree' ? 'lsm' : 'btree'
    const error = await failure(() => db.open({ backend: other }))
    expect(error.cause?.code).toBe('LEVEL_INVALID_ARGUMENT')
    expect(error.cause?.cause?.code).toBe('KINTSUGI_BACKEND_MISMATCH')
    expect(error.cause?.message).toContain(`'${testedBackend}'`)
    expect(error.cause?.message).toContain(`'${other}'`)
  })

  it('reports damage as corruption, with file and offset in the cause', async () => {
    const db = databases.make()
    await db.put('a', '1')
    await db.close()
    for (const name of fs.readdirSync(db.location)) {
      if (name.startsWith(`${testedBackend}-`))
        fs.rmSync(join(db.location, name), { recursive: true })
    }
    const error = await failure(() => db.open())
    expect(error.cause?.code).toBe('LEVEL_CORRUPTION')
    const cause = error.cause?.cause as unknown as KintsugiError
    expect(cause.facts.path).toContain(testedBackend)
  })
})

describe('arguments', () => {
  it('that are too long are refused by name, and nothing is written', async () => {
    const db = databases.make()
    const long = 'k'.repeat(70_000)
    for (const call of [
      () => db.put(long, ''),
      () => db.get(long),
      () => db.del(long),
      () => db.getMany([long]),
      () => db.has(long),
      () => db.batch([{ type: 'put', key: long, value: '' }]),
      () => db.batch().put(long, '').write()
    ]) {
      await db.open()
      const error = await failure(call)
      expect(error.code).toBe('LEVEL_INVALID_KEY')
      expect(error.message).toContain('65535')
      expect(error.cause?.code).toBe('KINTSUGI_KEY_TOO_LARGE')
    }
    expect((await failure(() => db.getSync(long))).code).toBe('LEVEL_INVALID_KEY')
    expect(await db.keys().all()).toEqual([])
  })

  it('of a read-only database cannot be writes', async () => {
    const db = databases.make()
    await db.put('a', '1')
    await db.close()
    const reader = databases.make({ readOnly: true }, db.location)
    expect(await reader.get('a')).toBe('1')
    const error = await failure(() => reader.put('a', '2'))
    expect(error.code).toBe('LEVEL_READ_ONLY')
    expect(error.cause?.code).toBe('KINTSUGI_READ_ONLY')
  })

  it('may have any first byte, those of prefixes included', async () => {
    const db = databases.make<Buffer, Buffer>({ keyEncoding: 'buffer', valueEncoding: 'buffer' })
    const keys = ['', '00', '0000', '01', '0100', '21', '2161', 'ff', 'ffff'].map((hex) =>
      Buffer.from(hex, 'hex')
    )
    await db.batch(keys.map((key) => ({ type: 'put', key, value: key })))
    expect(await db.keys().all()).toEqual(keys)
    expect(await db.getMany(keys)).toEqual(keys)
    const sub = db.sublevel<Buffer, Buffer>('a', { keyEncoding: 'buffer', valueEncoding: 'buffer' })
    await sub.batch(keys.map((key) => ({ type: 'put', key, value: key })))
    expect(await sub.keys().all()).toEqual(keys)
    await sub.clear()
    expect(await db.keys().all()).toEqual(keys)
  })

  it('may have an encoding that throws, which is told and does no harm', async () => {
    const db = databases.make()
    const thrown = new Error('no')
    const throwing = {
      name: 'throwing',
      format: 'utf8' as const,
      encode: (): string => {
        throw thrown
      },
      decode: (): string => {
        throw thrown
      }
    }
    await db.put('a', '1')
    expect(await failure(() => db.put('b', '1', { valueEncoding: throwing }))).toBe(thrown)
    expect(await failure(() => db.get('a', { keyEncoding: throwing }))).toBe(thrown)
    const iterator = db.iterator({ valueEncoding: throwing })
    for (const call of [
      () => db.get('a', { valueEncoding: throwing }),
      () => db.getSync('a', { valueEncoding: throwing }),
      () => db.getMany(['a'], { valueEncoding: throwing }),
      () => iterator.next(),
      () => db.values({ valueEncoding: throwing }).all()
    ]) {
      const error = await failure(call)
      expect(error.code).toBe('LEVEL_DECODE_ERROR')
      expect(error.cause).toBe(thrown)
    }
    await iterator.close()
    expect(await db.iterator().all()).toEqual([['a', '1']])
  })

  it('must not be a snapshot of something else', async () => {
    const db = databases.make()
    await db.put('a', '1')
    const snapshot = { ref() {}, unref() {} }
    const error = await failure(() => db.get('a', { snapshot: snapshot as never }))
    expect(error.code).toBe('LEVEL_INVALID_ARGUMENT')
    expect(error.message).toContain("'snapshot'")
  })
})

describe('an error of the engine', () => {
  it('has a code of Level whatever it is, and is the cause', () => {
    const source = fs.readFileSync(new URL('../../src/errors.ts', import.meta.url), 'utf8')
    const codes = source.match(/^ {2}KINTSUGI_\w+(?=:)/gm)!.map((code) => code.trim())
    expect(codes.length).toBeGreaterThan(25)
    for (const code of codes) {
      const cause = new KintsugiError(code as never, 'what happened')
      const error = levelError(cause) as LevelError
      expect(error).toBeInstanceOf(LevelError)
      expect(error.code).toMatch(/^LEVEL_[A-Z_]+$/)
      expect(error.message).toContain('what happened')
      expect(error.cause).toBe(cause)
      expect(error.name).toBe(code === 'KINTSUGI_ABORTED' ? 'AbortError' : 'LevelError')
    }
    const other = new TypeError('x')
    expect(levelError(other)).toBe(other)
  })
})
