import { execFileSync } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { expect, it } from 'vitest'

it('runs the tour of the programming interface', () => {
  const tour = fileURLToPath(new URL('../../examples/tour.mjs', import.meta.url))
  expect(execFileSync(process.execPath, [tour], { encoding: 'utf8' })).toMatch(/done\n$/)
})
