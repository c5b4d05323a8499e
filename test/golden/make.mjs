// Makes the golden stores of a backend and format version beside this file. They are made once, when
// a version comes to be, and never again: `node test/golden/make.mjs btree v1` refuses to replace
// them.
import { cpSync, existsSync, mkdirSync, readdirSync, rmSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { SeededRandom } from '../../dist/base/random.js'
import { open } from '../../dist/index.js'
import { goldenOptions, goldenWrites } from './content.mjs'

const [, , backend, version] = process.argv
if (!/^v\d+$/.test(version ?? '')) throw new Error('say which: make.mjs btree v1')
const directory = fileURLToPath(new URL(`${backend}/${version}`, import.meta.url))
if (existsSync(directory)) throw new Error(`${directory} is there already; golden means for ever`)
mkdirSync(directory, { recursive: true })

const clock = { now: () => 1_700_000_000_000, after: () => ({ cancel() {} }) }
const random = new SeededRandom(1)

const path = `${directory}/closed`
const store = await open(path, { ...goldenOptions, backend, clock, random })
let count = 0
for (const [key, value] of goldenWrites()) {
  if (value === undefined) await store.del(key)
  else await store.put(key, value)
  if (++count === 50) await store.persist()
  // LevelDB makes tables of so little only when told to.
  if (count === 50 && backend === 'level') await store.compact()
}
// As a process leaves it that dies here: half of it in pages, half in the log.
cpSync(path, `${directory}/killed`, { recursive: true })
await store.close()
for (const name of ['closed', 'killed']) {
  for (const own of ['LOCK', 'level-1/db/LOCK', 'level-1/db/LOG']) {
    rmSync(`${directory}/${name}/${own}`, { force: true })
  }
  console.log(name, readdirSync(`${directory}/${name}`, { recursive: true }).join(' '))
}
