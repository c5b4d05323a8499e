import fs from 'node:fs'
import { join } from 'node:path'
import { expect, it } from 'vitest'
import { open } from '../../../dist/index.js'
import { useStores } from '../../helpers/store.js'

const stores = useStores()

function filesOf(directory: string): Record<string, string> {
  const names = fs.readdirSync(directory)
  return Object.fromEntries(
    names.map((name) => [name, fs.readFileSync(join(directory, name), 'latin1')])
  )
}

// LevelDB was killed while it wrote a table: the next one that it makes has the same name, and a
// reader that had links to all tables wrote over the file.
it('a read-only opening changes no file, also where a dead process had begun a table', async () => {
  const path = join(stores.directory(), 'store')
  const store = await open(path, { backend: 'level' })
  for (let i = 0; i < 100; i++) await store.put(`key${i}`, 'value', { durability: 'os' })
  await store.close()
  const database = join(path, 'level-1', 'db')
  for (let i = 1; i < 20; i++) {
    const name = `${String(i).padStart(6, '0')}.ldb`
    if (!fs.existsSync(join(database, name))) fs.writeFileSync(join(database, name), 'half a table')
  }
  const before = filesOf(database)
  const reader = await open(path, { readOnly: true })
  expect(await reader.get('key7')).toEqual(Buffer.from('value'))
  await reader.close()
  expect(filesOf(database)).toEqual(before)
})
