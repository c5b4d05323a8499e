import fs from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { kintsugi, kintsugiJson, workspace } from './workspace.js'

type Harm = (bytes: Buffer) => Buffer | undefined

const harms: Record<string, Harm> = {
  'a flipped bit': (bytes) => {
    bytes[bytes.length >> 1] ^= 1
    return bytes
  },
  'a cut': (bytes) => bytes.subarray(0, bytes.length >> 1),
  zeros: (bytes) => bytes.fill(0),
  'being gone': () => undefined
}

const kinds = { table: /\.ldb$/, log: /\.log$/, manifest: /^MANIFEST/, current: /^CURRENT$/ }

/** Most of it in tables, the last rows in LevelDB's log. */
async function levelStore(directory: string): Promise<string> {
  const store = join(directory, 'damaged')
  const file = join(directory, 'rows.csv')
  for (const [first, last] of [
    [0, 6000],
    [6000, 6400]
  ]) {
    let rows = 'id,text\n'
    for (let i = first; i < last; i++) rows += `${i},${'x'.repeat(i % 150)}${i}\n`
    fs.writeFileSync(file, rows)
    await kintsugiJson('import', file, store, '--key', 'id', '--backend', 'level')
    if (first === 0) await kintsugiJson('compact', store)
  }
  return store
}

async function entries(store: string): Promise<Map<string, string>> {
  const { stdout } = await kintsugi(['export', store])
  const lines = stdout.toString().split('\n').filter(Boolean)
  return new Map(lines.map((line) => JSON.parse(line)).map(({ key, value }) => [key, value]))
}

test('validate and repair of a level store, for each kind of damage to each kind of file', async () => {
  const directory = workspace()
  const store = await levelStore(directory)
  const whole = await entries(store)
  const kept = join(directory, 'kept')
  fs.cpSync(store, kept, { recursive: true })
  for (const [kind, pattern] of Object.entries(kinds)) {
    for (const [what, harm] of Object.entries(harms)) {
      // Tables are harmed in every way, the others in two.
      if (kind !== 'table' && (what === 'a cut' || what === 'zeros')) continue
      fs.rmSync(store, { recursive: true })
      fs.cpSync(kept, store, { recursive: true })
      const database = join(store, 'level-1', 'db')
      const name = fs.readdirSync(database).find((each) => pattern.test(each))!
      const path = join(database, name)
      const harmed = harm(fs.readFileSync(path))
      if (harmed === undefined) fs.rmSync(path)
      else fs.writeFileSync(path, harmed)
      const found = await kintsugi(['validate', store, '--json'])
      expect(found.code, `${what} of ${kind}`).toBe(3)
      expect(found.stdout.toString() + found.stderr).toContain(name)
      const { code, stdout } = await kintsugi(['repair', store, '--json'])
      const report = JSON.parse(stdout.toString())
      const isLossNamed = report.lost.length + report.possiblyStale.length > 0
      expect(code, `${what} of ${kind}`).toBe(isLossNamed ? 3 : 0)
      expect(fs.existsSync(join(store, report.quarantine.replace(`${store}/`, '')))).toBe(true)
      const saved = await entries(store)
      expect(saved.size).toBe(report.entries)
      for (const [key, value] of saved) expect(value).toBe(whole.get(key))
      if (saved.size < whole.size) expect(report.lost.length).toBeGreaterThan(0)
      expect((await kintsugiJson('validate', store, '--level', 'comprehensive')).ok).toBe(true)
    }
  }
}, 280_000)
