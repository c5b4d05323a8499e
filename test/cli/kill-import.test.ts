import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { expect, test } from 'vitest'
import { testedBackend } from '../helpers/tested-backend.js'
import { samples } from './workspace.js'

const script = fileURLToPath(new URL('../../scripts/kill-import.mjs', import.meta.url))

test.each([
  ['lighthouses.csv', ['--key', 'id']],
  ['sailings.dat', ['--no-header', '--key', '1,2,4']],
  ['tides.jsonl', ['--key', 'station,at']]
])('an import of %s killed anywhere loses nothing and can be run again', async (name, args) => {
  const own = ['--file', join(samples, name), '--rounds', '4', '--batch-rows', '10']
  const backend = ['--backend', testedBackend]
  const child = spawn(process.execPath, [script, ...own, '--', ...args, ...backend])
  let output = ''
  child.stdout.on('data', (data) => (output += data))
  child.stderr.on('data', (data) => (output += data))
  const [code] = await once(child, 'close')
  expect(code, output).toBe(0)
})
