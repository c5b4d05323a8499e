import { spawnSync } from 'node:child_process'
import fs from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseTrace, type TraceEvent } from './trace.js'

const source = fileURLToPath(new URL('../../test/recorded/recorder.c', import.meta.url))
const writer = fileURLToPath(new URL('../../test/recorded/writer.mjs', import.meta.url))

/** Builds the recorder into a directory; undefined where that cannot be done. */
export function buildRecorder(directory: string): string | undefined {
  if (process.platform !== 'linux') return undefined
  const library = join(directory, 'recorder.so')
  const flags = ['-O2', '-fPIC', '-shared', '-o', library, source, '-ldl', '-lpthread']
  const { status } = spawnSync('cc', flags, { stdio: ['ignore', 'ignore', 'inherit'] })
  return status === 0 ? library : undefined
}

export interface WriterRun {
  readonly backend: string
  readonly seed: number
  /** Number of its first commit. */
  readonly first: number
  readonly count: number
  readonly ending: 'close' | 'exit'
}

/** Has a process write into the store below `root` and returns everything it did to files there. */
export function recordWriter(
  recorder: string,
  root: string,
  { backend, seed, first, count, ending }: WriterRun
): TraceEvent[] {
  const path = `${root}.trace`
  const args = [writer, backend, `${seed}`, `${first}`, `${count}`, ending]
  const { status, signal, stderr } = spawnSync(process.execPath, args, {
    env: { ...process.env, LD_PRELOAD: recorder, RECORDED_ROOT: root, RECORDED_TRACE: path },
    encoding: 'utf8',
    timeout: 120_000
  })
  if (ending === 'close' ? status !== 0 : signal !== 'SIGKILL') {
    throw new Error(`the writer ended with ${signal ?? status}: ${stderr}`)
  }
  const events = parseTrace(fs.readFileSync(path))
  fs.rmSync(path)
  return events
}
