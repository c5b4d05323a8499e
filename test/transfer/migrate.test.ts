import { describe, expect, it } from 'vitest'
import { migrate, open } from '../../dist/index.js'
import { FaultVfs } from '../../dist/vfs/fault-vfs.js'
import { MemVfs } from '../../dist/vfs/mem-vfs.js'
import type { VfsFile } from '../../dist/vfs/vfs.js'
import { countingOpenFiles } from '../helpers/open-files.js'
import { failure, failureCode, fingerprint, useStores } from '../helpers/store.js'
import {
  contentsOf,
  copy,
  destination,
  inMemory,
  linesOf,
  makeStore,
  markerPath,
  memoryPairs,
  pairs,
  someEntries,
  source,
  type Entries
} from './stores.js'

const stores = useStores()
const entries = someEntries(300, 1)

/** A store with the entries, in memory. */
async function sourceStore(from: 'btree' | 'lsm' = 'btree', all: Entries = entries) {
  const vfs = new MemVfs()
  await makeStore(source, all, { ...inMemory(vfs), backend: from })
  return vfs
}

/** Ends a copy by its signal after so many entries. */
async function interruptedCopy(vfs: MemVfs, afterEntries: number): Promise<void> {
  const controller = new AbortController()
  const onProgress = (done: number): void => {
    if (done >= afterEntries) controller.abort()
  }
  const { signal } = controller
  expect(await failureCode(() => copy(vfs, 'lsm', { signal, onProgress }))).toBe('KINTSUGI_ABORTED')
}

const contents = (vfs: MemVfs, path = destination) => contentsOf(path, inMemory(vfs))

describe.each(pairs)('a migration from %s to %s', (from, to) => {
  it('copies every entry and says what it did', async () => {
    const directory = stores.directory()
    const [a, b] = [`${directory}/a`, `${directory}/b`]
    await makeStore(a, entries, { backend: from })
    const report = await migrate(a, b, { backend: to })
    expect(report).toMatchObject({
      source: a,
      destination: b,
      entries: entries.length,
      bytes: entries.flat().reduce((sum, { length }) => sum + length, 0),
      resumed: false,
      entriesWritten: entries.length
    })
    expect(report.digest).toMatch(/^[0-9a-f]{64}$/)
    expect(await contentsOf(b)).toEqual(linesOf(entries))
    expect(await contentsOf(a)).toEqual(linesOf(entries))
    const store = await open(b)
    expect(store.backendName).toBe(to)
    await store.close()
  })

  it('copies an empty store', async () => {
    const directory = stores.directory()
    const [a, b] = [`${directory}/a`, `${directory}/b`]
    await makeStore(a, [], { backend: from })
    const report = await migrate(a, b, { backend: to })
    expect(report).toMatchObject({ entries: 0, bytes: 0, entriesWritten: 0, resumed: false })
    expect(await contentsOf(b)).toEqual([])
  })

  it('copies keys and values of every size', async () => {
    const directory = stores.directory()
    const [a, b] = [`${directory}/a`, `${directory}/b`]
    const sized: Entries = [
      [Buffer.alloc(0), Buffer.alloc(0)],
      [Buffer.alloc(1), Buffer.alloc(1024 * 1024, 7)],
      [Buffer.alloc(65_534, 1), Buffer.from('x')],
      [Buffer.alloc(65_535, 1), Buffer.alloc(3 * 1024 * 1024 + 1, 8)],
      [Buffer.alloc(65_535, 255), Buffer.alloc(0)]
    ]
    await makeStore(a, sized, { backend: from })
    await migrate(a, b, { backend: to })
    expect(await contentsOf(b)).toEqual(linesOf(sized))
  })
})

describe('a migration', () => {
  it('gives the same digest whatever the backends are', async () => {
    const digests = new Set<string>()
    for (const [from, to] of memoryPairs) {
      const vfs = await sourceStore(from as 'btree' | 'lsm')
      digests.add((await copy(vfs, to)).digest)
    }
    expect(digests.size).toBe(1)
  })

  it('leaves the source as it was, and no file open', async () => {
    const vfs = await sourceStore()
    const before = fingerprint(vfs)
    const counted = countingOpenFiles(vfs)
    await copy(counted.vfs as MemVfs, 'lsm')
    expect(Array.from(counted.open, ({ path }: VfsFile) => path)).toEqual([])
    for (const [path, bytes] of Object.entries(before)) {
      expect(fingerprint(vfs)[path], path).toBe(bytes)
    }
  })

  it('copies what only the log of the source has', async () => {
    const vfs = await sourceStore()
    const store = await open(source, inMemory(vfs))
    await store.put('later', 'in the log alone')
    await store.del('key00000007')
    const killed = vfs.killClone()
    await store.close()
    const report = await copy(killed, 'lsm')
    expect(report.entries).toBe(entries.length)
    const found = await contents(killed)
    expect(found).toEqual(await contents(killed, source))
    expect(found).toContain(`${Buffer.from('later').toString('hex')}=${hex('in the log alone')}`)
  })

  it('gives the destination the options that were asked for', async () => {
    const vfs = await sourceStore('lsm')
    await copy(vfs, 'btree', { pageBytes: 16_384 })
    expect(await failureCode(() => open(destination, { ...inMemory(vfs), pageBytes: 4096 }))).toBe(
      'KINTSUGI_BACKEND_MISMATCH'
    )
    const store = await open(destination, { ...inMemory(vfs), pageBytes: 16_384 })
    await store.close()
  })

  it('reports progress: entries written, then entries checked on both sides', async () => {
    const vfs = await sourceStore()
    const reports: [number, number, string][] = []
    await copy(vfs, 'lsm', {
      onProgress: (done, total, unit) => void reports.push([done, total, unit])
    })
    const written = reports.filter(([, , unit]) => unit === 'entries')
    const checked = reports.filter(([, , unit]) => unit === 'entries checked')
    expect(written.length).toBeGreaterThan(20)
    expect(written.at(-1)![0]).toBe(entries.length)
    expect(checked.at(-1)).toEqual([entries.length * 2, entries.length * 2, 'entries checked'])
    const counts = checked.map(([done]) => done)
    expect(counts).toEqual(counts.toSorted((a, b) => a - b))
  })

  it.each([
    ['an option that a copy decides itself', { durability: 'sync' }, 'durability'],
    ['an unknown option', { backEnd: 'lsm' }, 'backEnd'],
    ['an unknown backend', { backend: 'heap' }, 'backend'],
    ['a signal that is none', { signal: 1 }, 'signal']
  ])('refuses %s', async (_, options, name) => {
    const vfs = await sourceStore()
    const error = await failure(() => copy(vfs, 'lsm', options as object))
    expect([error.code, error.facts.option]).toEqual(['KINTSUGI_INVALID_OPTION', name])
    expect(vfs.statSync(destination)).toBeUndefined()
  })
})

const hex = (text: string): string => Buffer.from(text).toString('hex')

describe('a source that cannot be copied', () => {
  it('leaves nothing behind where there is none', async () => {
    const vfs = new MemVfs()
    expect(await failureCode(() => copy(vfs, 'lsm'))).toBe('KINTSUGI_STORE_MISSING')
    expect(vfs.readdirSync('/')).toEqual([])
  })

  it('is refused while somebody has it open for writing', async () => {
    const vfs = await sourceStore()
    const store = await open(source, inMemory(vfs))
    expect(await failureCode(() => copy(vfs, 'lsm'))).toBe('KINTSUGI_LOCKED')
    expect(vfs.statSync(destination)).toBeUndefined()
    await store.close()
  })

  it('is refused as a writer’s while it is copied', async () => {
    const vfs = await sourceStore()
    const codes = new Set<string>()
    let asked: Promise<unknown> = Promise.resolve()
    await copy(vfs, 'lsm', {
      onProgress: () => {
        asked = asked.then(async () => codes.add(await lockedOr(vfs)))
      }
    })
    // Those that came late have it.
    await asked
    expect(codes).toContain('KINTSUGI_LOCKED')
  })

  it('is refused when it is an unfinished copy itself', async () => {
    const vfs = await sourceStore()
    await interruptedCopy(vfs, 100)
    const given = { ...inMemory(vfs), backend: 'btree' } as const
    expect(await failureCode(() => migrate(destination, '/third', given))).toBe(
      'KINTSUGI_UNFINISHED_COPY'
    )
    expect(vfs.statSync('/third')).toBeUndefined()
  })

  it.each(['btree', 'lsm'] as const)(
    'is an error of its own when it is damaged: %s; the destination stays unfinished',
    async (from) => {
      const vfs = await sourceStore(from)
      const file = vfs.medium
        .paths()
        .find((path) => /data|\.sst|000001/i.test(path) && path.includes(`${from}-1`))
      const path = file ?? vfs.medium.paths().find((name) => name.includes(`${from}-1/`))!
      const bytes = vfs.medium.read(path)
      vfs.medium.overwrite(path, Buffer.alloc(512, 0xa5), Math.floor(bytes.length / 2))
      const error = await failure(() => copy(vfs, 'lsm'))
      expect(error.code).toBe('KINTSUGI_CORRUPTION')
      expect(error.facts.path).toContain(source)
      if (vfs.statSync(destination) === undefined) return
      expect(await failureCode(() => open(destination, inMemory(vfs)))).toBe(
        'KINTSUGI_UNFINISHED_COPY'
      )
      vfs.medium.overwrite(path, bytes, 0)
      await copy(vfs, 'lsm')
      expect(await contents(vfs)).toEqual(linesOf(entries))
    }
  )
})

async function lockedOr(vfs: MemVfs): Promise<string> {
  try {
    await (await open(source, inMemory(vfs))).close()
    return 'opened'
  } catch (error) {
    return (error as { code: string }).code
  }
}

describe('a destination that is taken', () => {
  it.each([
    [
      'a store',
      'KINTSUGI_STORE_EXISTS',
      async (vfs: MemVfs) => makeStore(destination, entries.slice(0, 3), inMemory(vfs))
    ],
    [
      'an empty store',
      'KINTSUGI_STORE_EXISTS',
      async (vfs: MemVfs) => makeStore(destination, [], inMemory(vfs))
    ],
    [
      'a plain LevelDB database',
      'KINTSUGI_FOREIGN_DIRECTORY',
      async (vfs: MemVfs) => write(vfs, ['CURRENT', 'MANIFEST-000001', '000003.log', 'LOCK'])
    ],
    [
      'somebody’s files',
      'KINTSUGI_FOREIGN_DIRECTORY',
      async (vfs: MemVfs) => write(vfs, ['diary.txt'])
    ],
    [
      'a store without its identity',
      'KINTSUGI_CORRUPTION',
      async (vfs: MemVfs) => write(vfs, ['wal'])
    ]
  ])('is refused and stays as it is: %s', async (_, code, make) => {
    const vfs = await sourceStore()
    await make(vfs)
    const [before, operations] = [fingerprint(vfs), vfs.operationCount]
    expect(await failureCode(() => copy(vfs, 'lsm'))).toBe(code)
    expect(fingerprint(vfs)).toEqual(before)
    expect(vfs.operationCount).toBe(operations)
  })

  it('is refused when it is the source, or in it', async () => {
    const vfs = await sourceStore()
    const given = { ...inMemory(vfs), backend: 'lsm' } as const
    const before = fingerprint(vfs)
    expect(await failureCode(() => migrate(source, source, given))).toBe('KINTSUGI_STORE_EXISTS')
    expect(await failureCode(() => migrate(source, `${source}/new`, given))).toBe(
      'KINTSUGI_INVALID_ARGUMENT'
    )
    expect(fingerprint(vfs)).toEqual(before)
  })

  it('is refused while another copy fills it', async () => {
    const vfs = await sourceStore()
    const codes = new Set<string>()
    let asked: Promise<unknown> = Promise.resolve()
    await copy(vfs, 'lsm', {
      onProgress: (_, total) => {
        if (total > 0 || codes.size > 0) return
        asked = asked.then(async () => codes.add(await failureCode(() => copy(vfs, 'btree'))))
      }
    })
    await asked
    expect(codes).toContain('KINTSUGI_LOCKED')
    expect(await contents(vfs)).toEqual(linesOf(entries))
  })

  it('may be an empty directory', async () => {
    const vfs = await sourceStore()
    vfs.mkdirSync(destination)
    vfs.mkdirSync(`${destination}/lost+found`)
    await copy(vfs, 'lsm')
    expect(await contents(vfs)).toEqual(linesOf(entries))
  })
})

function write(vfs: MemVfs, names: readonly string[]): void {
  vfs.mkdirSync(destination)
  for (const name of names) {
    const file = vfs.openSync(`${destination}/${name}`, 'create')
    file.writeSync(Buffer.from(name), 0)
    file.closeSync()
  }
}

describe('an interrupted migration', () => {
  it('leaves a destination that nothing opens, repairs or creates over', async () => {
    const vfs = await sourceStore()
    await interruptedCopy(vfs, 100)
    const { repair } = await import('../../dist/index.js')
    for (const call of [
      () => open(destination, inMemory(vfs)),
      () => open(destination, { ...inMemory(vfs), readOnly: true }),
      () => open(destination, { ...inMemory(vfs), createIfMissing: false }),
      () => repair(destination, { vfs })
    ]) {
      const error = await failure(call)
      expect(error.code).toBe('KINTSUGI_UNFINISHED_COPY')
      expect(error.message).toContain('again')
      expect(error.facts.path).toBe(destination)
    }
  })

  it('goes on where it was', async () => {
    const vfs = await sourceStore()
    await interruptedCopy(vfs, 100)
    const report = await copy(vfs, 'lsm')
    expect(report.resumed).toBe(true)
    expect(report.entriesWritten).toBeLessThanOrEqual(entries.length - 100)
    expect(report.entries).toBe(entries.length)
    expect(await contents(vfs)).toEqual(linesOf(entries))
  })

  it('goes on when it was interrupted while it compared', async () => {
    const vfs = await sourceStore()
    await interruptedCopy(vfs, entries.length + 1)
    const report = await copy(vfs, 'lsm')
    expect(report).toMatchObject({ resumed: true, entriesWritten: 0, entries: entries.length })
    expect(await contents(vfs)).toEqual(linesOf(entries))
  })

  it('begins anew when the source has changed', async () => {
    const vfs = await sourceStore()
    await interruptedCopy(vfs, 150)
    const store = await open(source, inMemory(vfs))
    await store.put('key00000003', 'changed where the copy was already')
    await store.del('key00000004')
    await store.close()
    const report = await copy(vfs, 'lsm')
    expect(report.resumed).toBe(false)
    expect(report.entriesWritten).toBe(entries.length - 1)
    expect(await contents(vfs)).toEqual(await contents(vfs, source))
  })

  it('begins anew for another source, and keeps what is not its own', async () => {
    const vfs = await sourceStore()
    await interruptedCopy(vfs, 150)
    const diary = vfs.openSync(`${destination}/diary.txt`, 'create')
    diary.writeSync(Buffer.from('mine'), 0)
    diary.closeSync()
    const others = someEntries(60, 2)
    await makeStore('/other', others, { ...inMemory(vfs, 9), backend: 'lsm' })
    const report = await migrate('/other', destination, { ...inMemory(vfs), backend: 'btree' })
    expect(report).toMatchObject({ resumed: false, entries: 60, entriesWritten: 60 })
    expect(await contents(vfs)).toEqual(linesOf(others))
    expect(vfs.readdirSync(destination)).toContain('diary.txt')
  })

  it('begins anew with another backend or page size', async () => {
    const vfs = await sourceStore()
    await interruptedCopy(vfs, 150)
    expect(await copy(vfs, 'btree')).toMatchObject({ resumed: false, entries: entries.length })
    const store = await open(destination, inMemory(vfs))
    expect(store.backendName).toBe('btree')
    await store.close()
  })

  it('begins anew when what was copied is damaged', async () => {
    const vfs = await sourceStore()
    await interruptedCopy(vfs, 150)
    const log = `${destination}/wal/${vfs.readdirSync(`${destination}/wal`)[0]!}`
    vfs.medium.overwrite(log, Buffer.alloc(64), 0)
    expect(await copy(vfs, 'lsm')).toMatchObject({ resumed: false, entries: entries.length })
    expect(await contents(vfs)).toEqual(linesOf(entries))
  })

  it('is refused when its marker is damaged', async () => {
    const vfs = await sourceStore()
    await interruptedCopy(vfs, 150)
    vfs.medium.overwrite(markerPath, Buffer.of(0), 30)
    const before = fingerprint(vfs)
    const error = await failure(() => copy(vfs, 'lsm'))
    expect([error.code, error.facts.path]).toEqual(['KINTSUGI_CORRUPTION', markerPath])
    expect({ ...fingerprint(vfs), [`${destination}/LOCK`]: '' }).toEqual({
      ...before,
      [`${destination}/LOCK`]: ''
    })
  })
})

describe('a copy that is not the same', () => {
  it('is found out at the end, stays unfinished, and is made anew by the next run', async () => {
    const vfs = await sourceStore()
    await interruptedCopy(vfs, 150)
    // As if it had lost an entry in the middle, and one had another value.
    await withoutMarker(vfs, async () => {
      const store = await open(destination, inMemory(vfs))
      await store.del('key00000005')
      await store.put('key00000006', 'wrong')
      await store.close()
    })
    const error = await failure(() => copy(vfs, 'lsm'))
    expect(error.code).toBe('KINTSUGI_CORRUPTION')
    expect(Buffer.from(error.facts.lowKey!).toString()).toBe('key00000005')
    expect(error.message).toContain('299 entries against 300')
    expect(await failureCode(() => open(destination, inMemory(vfs)))).toBe(
      'KINTSUGI_UNFINISHED_COPY'
    )
    const report = await copy(vfs, 'lsm')
    expect(report).toMatchObject({ resumed: false, entriesWritten: entries.length })
    expect(await contents(vfs)).toEqual(linesOf(entries))
  })

  it.each([
    [
      'has another value',
      'key00000006',
      (key: string) => ({ type: 'put', key, value: 'w' }) as const
    ],
    [
      'has one entry more',
      'key00000006\0',
      (key: string) => ({ type: 'put', key, value: '' }) as const
    ],
    ['lacks the first entry', '', (key: string) => ({ type: 'del', key }) as const]
  ])('names the first key that differs: it %s', async (_, key, operation) => {
    const vfs = await sourceStore()
    await interruptedCopy(vfs, 150)
    await withoutMarker(vfs, async () => {
      const store = await open(destination, inMemory(vfs))
      await store.batch([operation(key)])
      await store.close()
    })
    const error = await failure(() => copy(vfs, 'lsm'))
    expect(Buffer.from(error.facts.lowKey!).toString()).toBe(key)
  })
})

/** Does something to an unfinished copy as if it were a store. */
async function withoutMarker(vfs: MemVfs, work: () => Promise<void>): Promise<void> {
  vfs.renameSync(markerPath, '/marker')
  await work()
  vfs.renameSync('/marker', markerPath)
}

describe('a migration onto a full disk', () => {
  it('fails with a type wherever the disk fills up, and goes on once there is room', async () => {
    let failures = 0
    for (let nth = 1; nth < 400; nth += 13) {
      const vfs = await sourceStore()
      const faulty = new FaultVfs(vfs, [
        { operation: 'mutation', path: `${destination}*`, nth, fault: { kind: 'disk-full' } }
      ])
      const outcome = await copy(faulty as unknown as MemVfs, 'lsm').then(
        () => 'copied',
        (error: { code: string }) => error.code
      )
      if (outcome !== 'copied') {
        failures++
        expect(outcome, faulty.faults.describe()).toBe('KINTSUGI_DISK_FULL')
        if (vfs.statSync(destination) !== undefined) {
          const found = vfs.readdirSync(destination).filter((name) => !name.startsWith('LOCK'))
          if (found.length > 0) {
            expect(await failureCode(() => open(destination, inMemory(vfs)))).toBe(
              'KINTSUGI_UNFINISHED_COPY'
            )
          }
        }
        await copy(vfs, 'lsm')
      }
      expect(await contents(vfs)).toEqual(linesOf(entries))
    }
    expect(failures).toBeGreaterThan(10)
  })

  it('passes errors of the disk on wherever they strike, and can be run again', async () => {
    let failures = 0
    for (let nth = 1; nth < 400; nth += 7) {
      const vfs = await sourceStore()
      const faulty = new FaultVfs(vfs, [
        {
          operation: 'mutation',
          path: `${destination}*`,
          nth,
          fault: { kind: 'error', errno: 'EIO' }
        }
      ])
      const outcome = await copy(faulty as unknown as MemVfs, 'lsm').then(
        () => 'copied',
        (error: { code: string }) => error.code
      )
      if (outcome !== 'copied') failures++
      expect(['copied', 'KINTSUGI_IO', 'KINTSUGI_OUTCOME_UNKNOWN']).toContain(outcome)
      // What was reported as copied is so; anything else can be finished.
      if (outcome !== 'copied') {
        const whole = await contents(vfs).catch(() => undefined)
        if (whole === undefined) await copy(vfs, 'lsm')
      }
      expect(await contents(vfs)).toEqual(linesOf(entries))
    }
    expect(failures).toBeGreaterThan(10)
  })
})
