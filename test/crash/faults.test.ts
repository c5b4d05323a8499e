import { describe, expect, it } from 'vitest'
import type { Fault, FaultRule } from '../../dist/vfs/fault-plan.js'
import { backendFiles, testedBackend } from '../helpers/tested-backend.js'
import { runFaulted, type FaultedRun } from './faulted-run.js'

const timeoutMs = 300_000
const commits = 30

interface Sweep {
  readonly fault: Fault
  readonly operation?: FaultRule['operation']
  readonly path?: string
  readonly times?: number
  readonly everyNth?: number
  readonly before?: FaultedRun['before']
  readonly freeDiskAfter?: number
}

/** Lets a fault strike at one operation after the other, until none is left to be struck. */
async function sweep(name: string, options: Sweep): Promise<void> {
  const { everyNth = 1, before = 'closed', operation = 'mutation', fault, path, times } = options
  const total = { runs: 0, states: 0, acknowledged: 0, refused: 0, unknown: 0, notOpened: 0 }
  for (let nth = 1; ; nth += everyNth) {
    const rule = { operation, nth, fault, ...(path && { path }), ...(times && { times }) }
    const run: FaultedRun = {
      backend: testedBackend,
      plan: [rule],
      seed: nth,
      commits,
      before,
      ...(options.freeDiskAfter !== undefined && { freeDiskAfter: options.freeDiskAfter })
    }
    const figures = await runFaulted(run)
    if (figures.fired === 0) break
    total.runs++
    total.states += figures.states
    total.acknowledged += figures.acknowledged
    total.refused += figures.refused
    total.unknown += figures.unknown
    if (!figures.opened) total.notOpened++
  }
  console.log(`${testedBackend}, ${name}: ${JSON.stringify(total)}`)
  expect(total.runs).toBeGreaterThan(4)
}

describe('a fault at every operation in turn loses nothing acknowledged', () => {
  it(
    'when a write or sync fails once',
    async () => {
      await sweep('EIO once', { fault: { kind: 'error', errno: 'EIO' }, everyNth: 2 })
    },
    timeoutMs
  )

  it(
    'when an operation takes effect and reports failure',
    async () => {
      const fault = { kind: 'error', errno: 'EIO', afterEffect: true } as const
      await sweep('EIO after the effect', { fault, everyNth: 3 })
    },
    timeoutMs
  )

  it(
    'when every sync of the log fails from one on',
    async () => {
      const fault = { kind: 'error', errno: 'EIO' } as const
      await sweep('fsync of the log fails for good', {
        fault,
        operation: 'datasync',
        path: '*/wal/*',
        times: 0,
        everyNth: 2
      })
    },
    timeoutMs
  )

  it(
    'when a sync of the log fails once',
    async () => {
      const fault = { kind: 'error', errno: 'EIO' } as const
      await sweep('fsync of the log fails once', {
        fault,
        operation: 'datasync',
        path: '*/wal/*',
        before: 'killed'
      })
    },
    timeoutMs
  )

  it(
    'when a sync of the backend fails',
    async () => {
      const fault = { kind: 'error', errno: 'EIO' } as const
      await sweep('fsync of the backend fails', {
        fault,
        operation: 'datasync',
        path: `*${backendFiles}*`
      })
    },
    timeoutMs
  )

  it(
    'when a write ends short',
    async () => {
      const fault = { kind: 'short-write', lengthBytes: 100, errno: 'ENOSPC' } as const
      await sweep('short write', { fault, operation: 'write', everyNth: 2 })
    },
    timeoutMs
  )

  it(
    'when the disk is full from one operation on, and writes resume when it is not',
    async () => {
      const fault = { kind: 'disk-full' } as const
      await sweep('disk full, then not', { fault, everyNth: 3, freeDiskAfter: commits - 5 })
    },
    timeoutMs
  )

  it(
    'when the disk is full for good',
    async () => {
      await sweep('disk full', { fault: { kind: 'disk-full' }, everyNth: 4, before: 'killed' })
    },
    timeoutMs
  )

  it(
    'when a read fails while opening what a dead process left',
    async () => {
      const fault = { kind: 'error', errno: 'EIO' } as const
      await sweep('read fails', { fault, operation: 'read', before: 'killed' })
    },
    timeoutMs
  )

  it(
    'when the creation of the store fails anywhere',
    async () => {
      const fault = { kind: 'error', errno: 'ENOSPC' } as const
      await sweep('creation', { fault, operation: 'any', before: 'nothing', everyNth: 5 })
    },
    timeoutMs
  )
})
