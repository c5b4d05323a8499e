// Counts what a tape suite does and prints one line of JSON at its end.
import { createRequire } from 'node:module'

const tape = createRequire(import.meta.url)('tape')

/** Collects the results of every test that is registered with tape from now on. */
export function collectTape() {
  const names = new Map()
  const failed = new Set()
  let assertions = 0
  let failedAssertions = 0
  let skipped = 0
  tape
    .createStream({ objectMode: true })
    .on('data', (row) => {
      if (row.type === 'test') {
        names.set(row.id, row.name)
        if (row.skip) skipped++
      } else if (row.type === 'assert') {
        assertions++
        if (row.ok) return
        failedAssertions++
        failed.add(row.test)
        console.error(`${names.get(row.test)}: ${row.name}`, row.error?.message ?? '')
      }
    })
    .on('end', () => {
      const result = {
        total: names.size,
        passed: names.size - failed.size,
        assertions,
        passedAssertions: assertions - failedAssertions,
        skipped,
        failed: [...failed].map((id) => names.get(id))
      }
      process.stdout.write(`RESULT ${JSON.stringify(result)}\n`)
    })
  return tape
}
