import fs from 'node:fs'
import { dirname, join } from 'node:path'
import { ClassicLevel } from 'classic-level'
import { describe, expect, it } from 'vitest'
import { KintsugiLevel } from '../../dist/abstract-level/kintsugi-level.js'
import { testedBackend } from '../helpers/tested-backend.js'
import { failure, useDatabases } from './databases.js'

const databases = useDatabases()

async function closedDatabase(): Promise<string> {
  const db = databases.make()
  await db.put('a', '1')
  await db.close()
  return db.location
}

describe('destroy', () => {
  it('needs a location', async () => {
    for (const location of [undefined, '']) {
      const error = await failure(() => KintsugiLevel.destroy(location as string))
      expect(error).toBeInstanceOf(TypeError)
      expect(error.message).toBe("The first argument 'location' must be a non-empty string")
    }
  })

  it('is fine with a directory that is not there, and does not make one', async () => {
    const location = databases.directory()
    await KintsugiLevel.destroy(location)
    await KintsugiLevel.destroy(`${location}/1/2/3`)
    expect(fs.existsSync(location)).toBe(false)
  })

  it('removes the store and its directory', async () => {
    const location = await closedDatabase()
    fs.mkdirSync(join(location, 'quarantine/2026'), { recursive: true })
    await KintsugiLevel.destroy(location)
    expect(fs.existsSync(location)).toBe(false)
    expect(fs.existsSync(dirname(location))).toBe(true)
  })

  it('leaves what is not of the store', async () => {
    const location = await closedDatabase()
    fs.writeFileSync(join(location, 'foo'), 'FOO')
    fs.mkdirSync(join(location, 'bar'))
    await KintsugiLevel.destroy(location)
    expect(fs.readdirSync(location).sort()).toEqual(['bar', 'foo'])
    expect(fs.readFileSync(join(location, 'foo'), 'utf8')).toBe('FOO')
  })

  it('refuses a directory of somebody else, LevelDB included, and leaves it untouched', async () => {
    const location = databases.directory()
    fs.mkdirSync(join(location, 'wal-notes'), { recursive: true })
    fs.writeFileSync(join(location, 'foo'), 'FOO')
    const other = databases.directory()
    const classic = new ClassicLevel(other)
    await classic.put('a', '1')
    await classic.close()
    for (const path of [location, other]) {
      const before = fs.readdirSync(path)
      const error = await failure(() => KintsugiLevel.destroy(path))
      expect(error.cause?.code).toBe('KINTSUGI_FOREIGN_DIRECTORY')
      expect(fs.readdirSync(path)).toEqual(before)
    }
    await classic.open()
    expect(await classic.get('a')).toBe('1')
    await classic.close()
  })

  it('refuses a store that is open', async () => {
    const db = databases.make()
    await db.put('a', '1')
    expect((await failure(() => KintsugiLevel.destroy(db.location))).code).toBe('LEVEL_LOCKED')
    expect(await db.get('a')).toBe('1')
  })

  it('removes what is left of a store without its identity', async () => {
    const location = await closedDatabase()
    for (const name of fs.readdirSync(location)) {
      if (name.startsWith('STORE')) fs.rmSync(join(location, name))
    }
    await KintsugiLevel.destroy(location)
    expect(fs.existsSync(location)).toBe(false)
  })
})

describe('repair', () => {
  it('needs a location, and a store there', async () => {
    expect(await failure(() => KintsugiLevel.repair(''))).toBeInstanceOf(TypeError)
    const error = await failure(() => KintsugiLevel.repair(databases.directory()))
    expect(error.code).toBe('LEVEL_NOT_FOUND')
  })

  it('saves what can be saved of a damaged store', async () => {
    const db = databases.make()
    await db.batch(
      Array.from({ length: 2000 }, (_, at) => ({
        type: 'put',
        key: `k${at}`,
        value: 'v'.repeat(50)
      }))
    )
    await db.close()
    const report = await KintsugiLevel.repair(db.location)
    expect(report.findings).toEqual([])
    expect(report.lost).toEqual([])
    await db.open()
    expect(await db.keys().all()).toHaveLength(2000)
    expect(db.store.backendName).toBe(testedBackend)
  })
})
