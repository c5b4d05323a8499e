import { execFileSync } from 'node:child_process'
import { mkdtempSync, readdirSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { expect, it } from 'vitest'

const index = fileURLToPath(new URL('../../../dist/index.js', import.meta.url))

/** Writes until a compaction runs, closes the store in the middle of it, and then has nothing to do. */
const program = (path: string) => `
  import { open } from ${JSON.stringify(index)}
  const options = { backend: 'lsm', durability: 'os', memtableBytes: 128 * 1024 }
  const store = await open(${JSON.stringify(path)}, options)
  for (let round = 0; store.stats().compactionsRunning === 0 && round < 2000; round++) {
    const operations = Array.from({ length: 500 }, (_, i) => {
      return { type: 'put', key: 'k' + ((round * 500 + i) * 7919) % 100003, value: Buffer.alloc(90, i) }
    })
    await store.batch(operations)
  }
  console.log(store.stats().compactionsRunning, 'running')
  await store.close()
  console.log('closed')`

// A thread at work does not keep a process alive, so this one ended in the middle of closing its
// store: with exit code 13, and with what the compaction had written left behind.
it('is closed in order while a compaction runs, in a process that does nothing else', () => {
  const directory = mkdtempSync(join(tmpdir(), 'kintsugi-closing-'))
  const path = join(directory, 'store')
  const args = ['--input-type=module', '-e', program(path)]
  expect(execFileSync(process.execPath, args, { encoding: 'utf8' })).toBe('1 running\nclosed\n')
  const tables = readdirSync(join(path, 'lsm-1'))
  expect(tables.filter((name) => name.endsWith('.tmp'))).toEqual([])
  rmSync(directory, { recursive: true })
})
