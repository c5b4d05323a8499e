// KintsugiLevel next to classic-level, both through the interface of abstract-level, in one process:
// one row at a time, taking turns, medians of several rounds, every value that is read compared.
//
//   node bench/level-face.mjs [--backend btree] [--encoding utf8] [--rows 'get|put'] [--rounds 5]
//     [--entries 200000] [--json FILE]
//
// Both databases get the same options under LevelDB's names, and are compacted before reads.
import fs from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { performance } from 'node:perf_hooks'
import { parseArgs } from 'node:util'
import { ClassicLevel } from 'classic-level'
import { KintsugiLevel } from '../dist/abstract-level/kintsugi-level.js'

const { values: args } = parseArgs({
  options: {
    backend: { type: 'string', default: 'btree' },
    encoding: { type: 'string', default: 'utf8' },
    rows: { type: 'string', default: '' },
    rounds: { type: 'string', default: '5' },
    entries: { type: 'string', default: '200000' },
    json: { type: 'string' },
    directory: { type: 'string', default: tmpdir() }
  }
})
const entries = Number(args.entries)
const rounds = Number(args.rounds)
const { backend, encoding } = args
const options = {
  keyEncoding: encoding,
  valueEncoding: encoding,
  cacheSize: 128 * 1024 * 1024,
  writeBufferSize: 64 * 1024 * 1024
}

let seed = 42
function random(below) {
  seed = (Math.imul(seed, 1_664_525) + 1_013_904_223) >>> 0
  return seed % below
}

const text = (number) => number.toString(36).padStart(16, '0')
const encoded = (string) => (encoding === 'buffer' ? Buffer.from(string) : string)
const keyOf = (index) => encoded(text(index * 7919))
const valueOf = (index) => encoded(`${text(index)}:`.repeat(6).slice(0, 100))
const keys = Array.from({ length: entries }, (_, index) => keyOf(index))
const values = Array.from({ length: entries }, (_, index) => valueOf(index))
const order = Array.from({ length: entries }, (_, index) => index)
for (let i = entries - 1; i > 0; i--) {
  const j = random(i + 1)
  ;[order[i], order[j]] = [order[j], order[i]]
}

const isSame = encoding === 'buffer' ? (a, b) => a !== undefined && b.equals(a) : (a, b) => a === b

function check(isRight, what) {
  if (!isRight) throw new Error(`wrong: ${what}`)
}

/** Keys that this database was not asked for yet: three rows and all of their rounds share them. */
const firstReads = Math.floor(entries / (3 * rounds) / 100) * 100
const asked = new Map()
function notAskedYet(db) {
  const start = asked.get(db) ?? 0
  asked.set(db, start + firstReads)
  return order.slice(start, start + firstReads)
}

/**
 * Each row answers how many operations it did. Reads come first, since writes change what is there.
 * After the rows of first reads, a row asks for the same keys in each of its rounds.
 */
const rows = {
  async 'get, first time'(db) {
    for (const index of notAskedYet(db))
      check(isSame(await db.get(keys[index]), values[index]), 'get')
    return firstReads
  },
  async 'getSync, first time'(db) {
    for (const index of notAskedYet(db))
      check(isSame(db.getSync(keys[index]), values[index]), 'get')
    return firstReads
  },
  async 'getMany(100), first time'(db) {
    const indexes = notAskedYet(db)
    for (let i = 0; i < firstReads; i += 100) {
      const picked = indexes.slice(i, i + 100)
      const found = await db.getMany(picked.map((index) => keys[index]))
      for (let j = 0; j < 100; j++) check(isSame(found[j], values[picked[j]]), 'getMany')
    }
    return firstReads
  },
  async get(db) {
    for (let i = 0; i < 20_000; i++) {
      const index = order[i]
      check(isSame(await db.get(keys[index]), values[index]), 'get')
    }
    return 20_000
  },
  async getSync(db) {
    for (let i = 0; i < 50_000; i++) {
      const index = order[i]
      check(isSame(db.getSync(keys[index]), values[index]), 'getSync')
    }
    return 50_000
  },
  async 'getMany(100)'(db) {
    for (let i = 0; i < 40_000; i += 100) {
      const picked = order.slice(i, i + 100)
      const found = await db.getMany(picked.map((index) => keys[index]))
      for (let j = 0; j < 100; j++) check(isSame(found[j], values[picked[j]]), 'getMany')
    }
    return 40_000
  },
  async 'for await'(db) {
    let index = 0
    for await (const [key, value] of db.iterator()) {
      check(isSame(key, keys[index]) && isSame(value, values[index]), 'iterator')
      index++
    }
    check(index === entries, 'count')
    return entries
  },
  async 'nextv(1000)'(db) {
    const iterator = db.iterator()
    let index = 0
    for (;;) {
      const found = await iterator.nextv(1000)
      if (found.length === 0) break
      for (const [key, value] of found) {
        check(isSame(key, keys[index]) && isSame(value, values[index]), 'nextv')
        index++
      }
    }
    await iterator.close()
    check(index === entries, 'count')
    return entries
  },
  async all(db) {
    const found = await db.iterator().all()
    check(found.length === entries, 'count')
    for (let i = 0; i < entries; i++) {
      check(isSame(found[i][0], keys[i]) && isSame(found[i][1], values[i]), 'all')
    }
    return entries
  },
  async 'keys()'(db) {
    let index = 0
    for await (const key of db.keys()) check(isSame(key, keys[index++]), 'keys')
    check(index === entries, 'count')
    return entries
  },
  async 'values().all()'(db) {
    const found = await db.values().all()
    check(found.length === entries, 'count')
    for (let i = 0; i < entries; i++) check(isSame(found[i], values[i]), 'values')
    return entries
  },
  async 'range of 20'(db) {
    for (let i = 0; i < 2000; i++) {
      const start = order[i] % (entries - 20)
      const found = await db.iterator({ gte: keys[start], limit: 20 }).all()
      check(found.length === 20 && isSame(found[19][1], values[start + 19]), 'range')
    }
    return 2000
  },
  async put(db) {
    for (let i = 0; i < 10_000; i++) await db.put(keys[order[i]], values[order[i]])
    return 10_000
  },
  async 'put, 64 in flight'(db) {
    for (let i = 0; i < 20_032; i += 64) {
      const group = []
      for (let j = i; j < i + 64; j++) group.push(db.put(keys[order[j]], values[order[j]]))
      await Promise.all(group)
    }
    return 20_032
  },
  async 'put sync'(db) {
    for (let i = 0; i < 200; i++) await db.put(keys[order[i]], values[order[i]], { sync: true })
    return 200
  },
  async 'put sync, 64 in flight'(db) {
    for (let i = 0; i < 1280; i += 64) {
      const group = []
      for (let j = i; j < i + 64; j++) {
        group.push(db.put(keys[order[j]], values[order[j]], { sync: true }))
      }
      await Promise.all(group)
    }
    return 1280
  },
  async 'batch(1000)'(db) {
    for (let i = 0; i < 50_000; i += 1000) {
      const picked = order.slice(i, i + 1000)
      await db.batch(picked.map((at) => ({ type: 'put', key: keys[at], value: values[at] })))
    }
    return 50_000
  },
  async 'chained batch(1000)'(db) {
    for (let i = 0; i < 50_000; i += 1000) {
      const batch = db.batch()
      for (let j = i; j < i + 1000; j++) batch.put(keys[order[j]], values[order[j]])
      await batch.write()
    }
    return 50_000
  },
  /** Restored outside the time that is taken. */
  async 'clear of 20,000'(db, stopped) {
    const [from, to] = [entries >> 2, (entries >> 2) + 20_000]
    await db.clear({ gte: keys[from], lt: keys[to] })
    await stopped(async () => {
      check((await db.get(keys[from])) === undefined, 'clear')
      check(isSame(await db.get(keys[to]), values[to]), 'clear')
      for (let i = from; i < to; i += 1000) {
        const part = order.slice(0, 1000).map((_, at) => i + at)
        await db.batch(part.map((at) => ({ type: 'put', key: keys[at], value: values[at] })))
      }
    })
    return 20_000
  }
}

async function timed(row, db) {
  global.gc?.()
  let pausedMs = 0
  const stopped = async (work) => {
    const startMs = performance.now()
    await work()
    pausedMs += performance.now() - startMs
  }
  const startMs = performance.now()
  const operations = await rows[row](db, stopped)
  return operations / ((performance.now() - startMs - pausedMs) / 1000)
}

async function load(db) {
  await db.open()
  for (let i = 0; i < entries; i += 1000) {
    const part = order.slice(i, i + 1000)
    await db.batch(part.map((at) => ({ type: 'put', key: keys[at], value: values[at] })))
  }
  await db.compactRange(keys[0], keys[entries - 1])
}

const median = (list) => list.toSorted((a, b) => a - b)[list.length >> 1]

const directory = fs.mkdtempSync(join(args.directory, 'level-face-'))
const wanted = args.rows === '' ? Object.keys(rows) : args.rows.split('|')
const results = []
try {
  const classic = new ClassicLevel(join(directory, 'classic'), options)
  const kintsugi = new KintsugiLevel(join(directory, 'kintsugi'), { ...options, backend })
  await load(classic)
  await load(kintsugi)
  for (const row of wanted) {
    const rates = { classic: [], kintsugi: [] }
    for (let round = 0; round < rounds; round++) {
      rates.classic.push(await timed(row, classic))
      rates.kintsugi.push(await timed(row, kintsugi))
    }
    const result = { row, classic: median(rates.classic), kintsugi: median(rates.kintsugi) }
    results.push({ ...result, ratio: result.kintsugi / result.classic })
    const number = (rate) => Math.round(rate).toLocaleString('en').padStart(12)
    const ratio = (result.kintsugi / result.classic).toFixed(2).padStart(7)
    console.log(row.padEnd(24), number(result.classic), number(result.kintsugi), ratio)
  }
  await classic.close()
  await kintsugi.close()
} finally {
  fs.rmSync(directory, { recursive: true, force: true })
}
if (args.json !== undefined) {
  const setting = { backend, encoding, entries, rounds, node: process.version }
  fs.writeFileSync(args.json, `${JSON.stringify({ ...setting, results }, null, 2)}\n`)
}
