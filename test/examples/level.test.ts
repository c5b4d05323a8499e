import { execFileSync } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { expect, it } from 'vitest'

it('runs the example of the database for Level', () => {
  const example = fileURLToPath(new URL('../../examples/level.mjs', import.meta.url))
  expect(execFileSync(process.execPath, [example], { encoding: 'utf8' })).toMatch(/done\n$/)
})
