import { spawn } from 'node:child_process'
import fs from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { testedBackend } from '../helpers/tested-backend.js'

const suitePath = join(import.meta.dirname, 'suite.mjs')

/** What the suite counts on classic-level 3.0 itself, for a database and for a sublevel of one. */
const classicCounts = {
  database: { tests: 759, assertions: 2620 },
  sublevel: { tests: 750, assertions: 2548 }
}

interface Counts {
  tests: number
  assertions: number
}

interface Outcome {
  readonly exitCode: number | null
  readonly failed: readonly string[]
  readonly skipped: readonly string[]
  readonly database: Counts
  readonly sublevel: Counts
  readonly stderr: string
}

/** Runs the suite and reads its TAP: a line of its own for every test and every assertion. */
async function runSuite(backend: string): Promise<Outcome> {
  const directory = fs.mkdtempSync(join(tmpdir(), 'kintsugi-conformance-'))
  try {
    const child = spawn(process.execPath, [suitePath, backend, directory])
    let [stdout, stderr] = ['', '']
    child.stdout.on('data', (text: Buffer) => (stdout += text.toString()))
    child.stderr.on('data', (text: Buffer) => (stderr += text.toString()))
    const exitCode = await new Promise<number | null>((resolve) => child.on('close', resolve))
    return { exitCode, stderr, ...readTap(stdout) }
  } finally {
    fs.rmSync(directory, { recursive: true, force: true })
  }
}

function readTap(text: string): Omit<Outcome, 'exitCode' | 'stderr'> {
  const lines = text.split('\n')
  const skipped = lines.filter((line) => /# (skip|todo)\b/i.test(line))
  const failed = lines.filter((line) => line.startsWith('not ok'))
  // Each half begins with the test of the manifest.
  const starts = lines.flatMap((line, at) =>
    line === '# manifest has expected properties' ? [at] : []
  )
  expect(starts).toHaveLength(2)
  const end = lines.findIndex((line) => /^1\.\.\d+$/.test(line))
  const count = (part: string[]): Counts => ({
    tests: part.filter((line) => line.startsWith('# ')).length,
    assertions: part.filter((line) => /^(not )?ok /.test(line)).length
  })
  return {
    failed,
    skipped,
    database: count(lines.slice(0, starts[1])),
    sublevel: count(lines.slice(starts[1], end))
  }
}

describe(`abstract-level's own suite`, () => {
  it(`passes on ${testedBackend}, all of it, on a database and on a sublevel`, async () => {
    const outcome = await runSuite(testedBackend)
    expect(outcome.failed).toEqual([])
    expect(outcome.skipped).toEqual([])
    expect(outcome.stderr).toBe('')
    expect(outcome.exitCode).toBe(0)
    expect(outcome.database).toEqual(classicCounts.database)
    expect(outcome.sublevel).toEqual(classicCounts.sublevel)
  })

  // The reference is the same for every backend, so it is measured once.
  it.runIf(testedBackend === 'btree')('counts the same on classic-level itself', async () => {
    const { exitCode, failed, skipped, database, sublevel } = await runSuite('classic-level')
    expect({ exitCode, failed, skipped }).toEqual({ exitCode: 0, failed: [], skipped: [] })
    expect({ database, sublevel }).toEqual(classicCounts)
  })
})
