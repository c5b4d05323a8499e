import { execFileSync } from 'node:child_process'
import { mkdtempSync, readdirSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { expect, it } from 'vitest'

const index = fileURLToPath(new URL('../../../dist/index.js', import.meta.url))

/** Writes, closes the store while a compaction runs that takes long, and has nothing else to do. */
const program = (path: string) => `
  import { open } from ${JSON.stringify(index)}
  const store = await open(${JSON.stringify(path)}, {
    backend: 'lsm',
    durability: 'os',
    memtableBytes: 512 * 1024,
    rateLimitBytesPerSecond: 200_000
  })
  for (let round = 0; round < 50; round++) {
    const operations = Array.from({ length: 1000 }, (_, i) => {
      return { type: 'put', key: 'k' + ((round * 1000 + i) * 7919) % 100003, value: Buffer.alloc(90, i) }
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
