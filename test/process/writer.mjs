// Writes numbered commits into the store at argv[2] and says so line by line, as soon as each is
// acknowledged. argv[3]: backend; argv[4]: durability; argv[5]: how it ends: `forever`, or after that
// many commits by `exit` (process.exit), `fall` (nothing left to do) or `close` (after a persist, a
// compaction and a check, each awaited with nothing else to do); argv[6]: their number.
import { writeSync } from 'node:fs'
import { open } from '../../dist/index.js'

const [, , path, backend, durability, ending, count = '0'] = process.argv
function say(line) {
  for (;;) {
    try {
      return writeSync(1, `${line}\n`)
    } catch (error) {
      // The pipe is full: whoever reads is slow.
      if (error.code !== 'EAGAIN') throw error
    }
  }
}

const small = { walSegmentBytes: 65_536, pageBytes: 4096, memtableBytes: 65_536 }
const store = await open(path, { ...small, backend, durability }).catch((error) => {
  say(JSON.stringify(error))
  process.exit(3)
})
const first = Number((await store.get('count'))?.toString() ?? '0') + 1
say(`open ${first} ${store.recovery.clean}`)

for (let i = first; ending === 'forever' || i < first + Number(count); i++) {
  const value = Buffer.alloc(50 + (i % 40) * 50, `${i};`)
  await store.batch([
    { type: 'put', key: `key${String(i).padStart(8, '0')}`, value },
    { type: 'put', key: 'count', value: `${i}` }
  ])
  say(`done ${i}`)
  if (i % 500 === 0) void store.persist()
}
if (ending === 'exit') process.exit(0)
if (ending === 'close') {
  for (const work of ['persist', 'compact', 'verify', 'close']) {
    await store[work]()
    say(`${work} ended`)
  }
}
