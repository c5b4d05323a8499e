import { spawn } from 'node:child_process'
import { existsSync, mkdtempSync, readdirSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { onTestFinished } from 'vitest'
import { open } from '../../dist/open.js'
import { testedBackend } from '../helpers/tested-backend.js'

export const commandFile = fileURLToPath(new URL('../../dist/cli/main.js', import.meta.url))
export const samples = fileURLToPath(new URL('../samples/', import.meta.url))

export interface Outcome {
  readonly code: number | null
  readonly stdout: Buffer
  readonly stderr: string
}

/** Runs the built command as a process of its own, from start to end. */
export function kintsugi(args: readonly string[], input?: string | Buffer): Promise<Outcome> {
  return new Promise((resolve, reject) => {
    const child = spawn(process.execPath, [commandFile, ...args, ...backendOf(args)])
    const stdout: Buffer[] = []
    const stderr: Buffer[] = []
    child.stdout.on('data', (data: Buffer) => stdout.push(data))
    child.stderr.on('data', (data: Buffer) => stderr.push(data))
    child.on('error', reject)
    child.on('close', (code) => {
      resolve({ code, stdout: Buffer.concat(stdout), stderr: Buffer.concat(stderr).toString() })
    })
    // A command that does not read its input closes the pipe.
    child.stdin.on('error', () => {})
    child.stdin.end(input)
  })
}

/** Commands that make a store make it on the tested backend, unless they say another. */
function backendOf([command, ...rest]: readonly string[]): string[] {
  const makes = command === 'import' || command === 'init'
  return makes && !rest.includes('--backend') ? ['--backend', testedBackend] : []
}

/** The JSON a successful command prints; its shape is what the tests are about. */
// oxlint-disable-next-line typescript/no-explicit-any
export async function kintsugiJson(...args: string[]): Promise<any> {
  const { code, stdout, stderr } = await kintsugi([...args, '--json'])
  if (code !== 0) throw new Error(`kintsugi ${args.join(' ')} ended with ${code}: ${stderr}`)
  return JSON.parse(stdout.toString())
}

/** Exit code and error object of a command that fails. */
export async function kintsugiFailure(
  args: readonly string[],
  input?: string
): Promise<{ code: number | null; error: { code: string; message: string } }> {
  const { code, stderr } = await kintsugi([...args, '--json'], input)
  const lines = stderr.trim().split('\n')
  return { code, error: JSON.parse(lines.at(-1) ?? '').error }
}

/**
 * A directory for one test. When the test ends, every store in it has to pass the whole check;
 * what a failing test leaves is kept for a look at it.
 */
export function workspace(): string {
  const directory = mkdtempSync(join(tmpdir(), 'kintsugi-cli-'))
  onTestFinished(async ({ task }) => {
    if (task.result?.state === 'fail') {
      console.error(`kept for inspection: ${directory}`)
      return
    }
    for (const name of readdirSync(directory)) {
      if (!name.startsWith('damaged') && existsSync(join(directory, name, 'STORE-A'))) {
        await checkStore(join(directory, name))
      }
    }
    rmSync(directory, { recursive: true, force: true })
  })
  return directory
}

async function checkStore(path: string): Promise<void> {
  const store = await open(path, { readOnly: true })
  try {
    const findings = await store.verify('comprehensive', {})
    if (findings.length > 0) throw new Error(`${path}: ${JSON.stringify(findings, null, 2)}`)
  } finally {
    await store.close()
  }
}

/** A store with the sample lighthouses, by id. */
export async function lighthouseStore(directory: string, name = 'lighthouses'): Promise<string> {
  const store = join(directory, name)
  await kintsugiJson('import', join(samples, 'lighthouses.csv'), store, '--key', 'id')
  return store
}

/** A store with the sample sailings, by line, port and departure. */
export async function sailingStore(directory: string, name = 'sailings'): Promise<string> {
  const store = join(directory, name)
  const file = join(samples, 'sailings.dat')
  await kintsugiJson('import', file, store, '--no-header', '--key', '1,2,4')
  return store
}

/** A store of some two hundred pages, so that damage to a few leaves most of it whole. */
export async function largeStore(directory: string, name: string): Promise<string> {
  const store = join(directory, name)
  const rows = Array.from({ length: 15_000 }, (_, i) => `${i},${'x'.repeat(i % 150)}\n`).join('')
  const args = ['import', '-', store, '--format', 'csv', '--no-header', '--key', '1:6']
  const { code, stderr } = await kintsugi(args, rows)
  if (code !== 0) throw new Error(stderr)
  return store
}

/** An LSM store of several tables: 15,000 events, some of them written twice. */
export async function eventStore(directory: string, name = 'events', note = 'x'): Promise<string> {
  const path = join(directory, name)
  const store = await open(path, { backend: 'lsm', memtableBytes: 256 * 1024 })
  const keyOf = (i: number): string => `e${String(i).padStart(6, '0')}`
  for (let from = 0; from < 18_000; from += 1000) {
    const operations = Array.from({ length: 1000 }, (_, i) => {
      const event = (from + i) % 15_000
      return {
        type: 'put' as const,
        key: keyOf(event),
        value: `${from}:${note.repeat(event % 150)}`
      }
    })
    await store.batch(operations, { durability: 'os' })
  }
  await store.clear({ gte: keyOf(100), lt: keyOf(200) })
  await store.close()
  return path
}
