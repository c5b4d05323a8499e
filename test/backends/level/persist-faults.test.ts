import { describe, expect, it } from 'vitest'
import type { Backend } from '../../../dist/backend/backend.js'
import type { FaultErrno } from '../../../dist/vfs/fault-plan.js'
import { FaultVfs } from '../../../dist/vfs/fault-vfs.js'
import { failure, failureCode } from '../../helpers/store.js'
import {
  apply,
  clear,
  create,
  del,
  emptyDisk,
  forThisTest,
  persist,
  put,
  reopen,
  textOf
} from './level-harness.js'

/** What the log would hold: every commit, so that an opening can replay from where it has to. */
const commits = Array.from({ length: 12 }, (_, i) => {
  if (i === 4) return [clear('k1', 'k3'), put('k2', 'again')]
  if (i === 8) return [del('k5'), put('k9', 'nine')]
  return [put(`k${i}`, `value ${i}`.repeat(40)), put('same', `${i}`)]
})

const persistedFirst = 6

function expectAll(backend: Backend, upTo: number): void {
  const expected = new Map<string, string>()
  for (const [i, operations] of commits.slice(0, upTo).entries()) {
    if (i === 4) for (const key of ['k1', 'k2']) expected.delete(key)
    for (const operation of operations) {
      if (operation.type === 'put') expected.set(String(operation.key), String(operation.value))
      else if (operation.type === 'del') expected.delete(String(operation.key))
    }
  }
  for (let i = 0; i < 12; i++) expect(textOf(backend, `k${i}`), `k${i}`).toBe(expected.get(`k${i}`))
  expect(textOf(backend, 'same')).toBe(expected.get('same'))
}

async function filled(vfs: FaultVfs): Promise<Backend> {
  const backend = await create(vfs)
  for (let i = 0; i < persistedFirst; i++) apply(backend, i + 1, ...commits[i]!)
  await persist(backend)
  for (let i = persistedFirst; i < commits.length; i++) apply(backend, i + 1, ...commits[i]!)
  return backend
}

describe.each(['EIO', 'ENOSPC'] as FaultErrno[])('%s in a persist', (errno) => {
  it('at any operation loses nothing, and after a write or a sync nothing more is written', async () => {
    let struck = 0
    let final = 0
    for (let nth = 1; ; nth++) {
      const disk = emptyDisk()
      const rule = { operation: 'any', nth: Infinity, fault: { kind: 'error', errno } } as const
      const vfs = new FaultVfs(disk.vfs, [rule])
      const backend = await filled(vfs)
      // Counted from here on.
      Object.assign(rule, { nth: vfs.faults.operationCount + nth })
      const error = await persist(backend).catch((reason: unknown) => reason as { code: string })
      Object.assign(rule, { nth: Infinity })
      if (vfs.faults.fired.length === 0) {
        expect(error).toBe(commits.length)
        break
      }
      struck++
      const { operation } = vfs.faults.fired[0]!
      // Reads go on, whatever happened.
      expectAll(backend, commits.length)
      if (operation !== 'close') expect(error, operation).not.toBe(commits.length)
      const isFinal = ['datasync', 'syncDirectory', 'write'].includes(operation)
      if (isFinal) {
        final++
        const code = errno === 'EIO' ? 'KINTSUGI_IO' : 'KINTSUGI_DISK_FULL'
        expect((error as { code: string }).code).toBe(code)
        expect(await failureCode(() => persist(backend))).toBe('KINTSUGI_READ_ONLY')
        const refused = await failure(() => apply(backend, 13, put('new', 'v')))
        expect(refused.code).toBe('KINTSUGI_READ_ONLY')
        expect(refused.message).toContain('open it again')
        expectAll(backend, commits.length)
      }
      await backend.close().catch(() => undefined)
      // The next process: everything that the log still has to have is replayed.
      const copy = forThisTest(disk.copy())
      const again = await reopen(copy.vfs)
      expect(again.durableSeq).toBeGreaterThanOrEqual(persistedFirst)
      expect(again.retirableSeq).toBeLessThanOrEqual(again.durableSeq)
      for (let i = again.durableSeq; i < commits.length; i++) apply(again, i + 1, ...commits[i]!)
      expectAll(again, commits.length)
      expect(await persist(again)).toBe(commits.length)
      expectAll(again, commits.length)
      await again.close()
      const last = await reopen(copy.vfs)
      expectAll(last, commits.length)
      expect(
        await last.verify('comprehensive', { report: () => undefined, signal: undefined })
      ).toEqual([])
      await last.close()
    }
    expect(struck).toBeGreaterThan(8)
    expect(final).toBeGreaterThan(4)
  })
})
