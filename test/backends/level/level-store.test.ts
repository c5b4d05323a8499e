import { execFile } from 'node:child_process'
import fs from 'node:fs'
import { join, resolve } from 'node:path'
import { promisify } from 'node:util'
import { describe, expect, it, vi } from 'vitest'
import { open } from '../../../dist/index.js'
import { FaultVfs } from '../../../dist/vfs/fault-vfs.js'
import { NodeVfs } from '../../../dist/vfs/node-vfs.js'
import { tinyOptions } from '../../helpers/backends.js'
import { failure, failureCode, useStores } from '../../helpers/store.js'
import { forgetOwner } from '../../helpers/forget-owner.js'

const stores = useStores()
const level = { ...tinyOptions, backend: 'level' } as const
const run = promisify(execFile)

/** Every file below a directory with its bytes. */
function filesOf(root: string): Record<string, string> {
  const names = fs.readdirSync(root, { recursive: true, withFileTypes: true })
  return Object.fromEntries(
    names
      .filter((entry) => entry.isFile())
      .map((entry) => join(entry.parentPath, entry.name))
      .map((path) => [path, fs.readFileSync(path, 'base64')])
  )
}

async function listed(store: { entries(): AsyncIterable<[Buffer, Buffer]> }) {
  const found: [string, string][] = []
  for await (const [key, value] of store.entries()) {
    found.push([key.toString('latin1'), value.toString('latin1')])
  }
  return found
}

describe('a level store', () => {
  it('takes any key, those that look like the engine’s own included', async () => {
    const path = stores.directory()
    const keys = ['', '\0', '\0applied', '\x01', '\x01\0applied', '\x02', 'ÿ']
    const store = await stores.disk(path, level)
    for (const key of keys) await store.put(Buffer.from(key, 'latin1'), `value of ${key.length}`)
    await store.persist()
    await store.close()
    const again = await stores.disk(path, level)
    const expected = keys.map((key) => [key, `value of ${key.length}`])
    expect(await listed(again)).toEqual(expected)
    await again.clear({ gte: Buffer.from([1]) })
    await again.persist()
    expect(await listed(again)).toEqual(expected.slice(0, 3))
    await again.clear()
    await again.persist()
    expect(await listed(again)).toEqual([])
    await again.close()
    expect(await listed(await stores.disk(path, level))).toEqual([])
  })

  it('opened read-only leaves every byte as it was, and shows what the log holds', async () => {
    const path = stores.directory()
    const store = await stores.disk(path, level)
    for (let i = 0; i < 300; i++)
      await store.put(`k${i % 100}`, `${i}`.repeat(50), { durability: 'os' })
    await store.persist()
    await store.del('k7')
    await store.put('last', 'in the log')
    // A crash: nothing is said about the end.
    const copy = join(stores.directory(), 'copy')
    fs.cpSync(path, copy, { recursive: true })
    forgetOwner(copy)
    const before = filesOf(copy)
    const vfs = new NodeVfs()
    const shadow = vi.spyOn(vfs, 'shadow')
    const reading = await stores.disk(copy, { ...level, vfs, readOnly: true })
    expect(reading.getSync('last')?.toString()).toBe('in the log')
    expect(reading.getSync('k7')).toBeUndefined()
    expect(await listed(reading)).toHaveLength(100)
    expect(await failureCode(() => reading.put('a', 'b'))).toBe('KINTSUGI_READ_ONLY')
    expect(await reading.verify('comprehensive')).toEqual([])
    await reading.close()
    expect(filesOf(copy)).toEqual(before)
    const made = await Promise.all(shadow.mock.results.map(({ value }) => value as Promise<string>))
    expect(made.map((directory) => fs.existsSync(directory))).toEqual([false])
  })

  it('does not open a LevelDB database, and names the command that takes it over', async () => {
    const path = stores.directory()
    const { ClassicLevel } = await import('classic-level')
    const database = new ClassicLevel(path)
    await database.put('k', 'v')
    await database.close()
    const before = filesOf(path)
    for (const options of [level, {}, { backend: 'level', readOnly: true } as const]) {
      const error = await failure(() => open(path, options))
      expect(error.code).toBe('KINTSUGI_FOREIGN_DIRECTORY')
      expect(error.message).toContain(`kintsugi import --from-leveldb ${path} STORE`)
    }
    expect(filesOf(path)).toEqual(before)
  })

  it('says what to install where classic-level is missing', async () => {
    const root = stores.directory()
    fs.cpSync(resolve('dist'), join(root, 'dist'), { recursive: true })
    fs.cpSync(resolve('package.json'), join(root, 'package.json'))
    fs.mkdirSync(join(root, 'node_modules'))
    for (const name of fs.readdirSync(resolve('node_modules'))) {
      if (name === 'classic-level') continue
      fs.symlinkSync(resolve('node_modules', name), join(root, 'node_modules', name))
    }
    const script = `
      import { open } from './dist/index.js'
      await open(process.argv[1], { backend: 'level' }).catch((error) => {
        console.log(JSON.stringify(error))
      })
      const other = await open(process.argv[1] + '-other')
      await other.close()`
    const { stdout } = await run(
      process.execPath,
      ['--input-type=module', '-e', script, join(root, 'store')],
      { cwd: root }
    )
    const error = JSON.parse(stdout) as { code: string; message: string }
    expect(error.code).toBe('KINTSUGI_NOT_SUPPORTED')
    expect(error.message).toContain('npm install classic-level')
  })

  it('is created anew after a creation that failed anywhere', async () => {
    let failed = 0
    for (let nth = 1; ; nth++) {
      const path = join(stores.directory(), 'store')
      const fault = { kind: 'error', errno: 'EIO' } as const
      const vfs = new FaultVfs(new NodeVfs(), [{ operation: 'mutation', nth, times: 0, fault }])
      const store = await open(path, { ...level, vfs }).catch(() => undefined)
      // With the identity slots in place it is a store, and one that opens.
      if (store !== undefined) await store.close().catch(() => undefined)
      if (vfs.faults.fired.length === 0) break
      failed++
      const again = await stores.disk(path, level)
      await again.put('k', 'v')
      await again.persist()
      await again.close()
    }
    expect(failed).toBeGreaterThan(15)
  })

  it('reads on while it persists again and again, and has all of it after each', async () => {
    const path = stores.directory()
    const store = await stores.disk(path, { ...level, durability: 'os' })
    for (let i = 0; i < 4000; i++) {
      void store.put(`k${i % 700}`, `${i}`.padEnd(200, 'v'))
      if (i % 500 === 499) await store.flush()
    }
    await store.flush()
    const expected = Array.from({ length: 700 }, (_, k) => {
      const last = k + 700 * Math.floor((3999 - k) / 700)
      return [`k${k}`, `${last}`.padEnd(200, 'v')]
    })
    expected.sort(([a], [b]) => (a! < b! ? -1 : 1))
    expect(await listed(store)).toEqual(expected)
    expect(store.stats().persists).toBeGreaterThan(5)
    const many = await store.getMany(['k1', 'k699', 'none'])
    expect(many.map(String)).toEqual([
      expected.find(([key]) => key === 'k1')![1],
      expected.find(([key]) => key === 'k699')![1],
      'undefined'
    ])
    await store.close()
    expect(await listed(await stores.disk(path, level))).toEqual(expected)
  })
})
