import { beforeAll, describe, expect, it } from 'vitest'
import { SeededRandom } from '../../../dist/base/random.js'
import { open, repair } from '../../../dist/index.js'
import { Tally } from '../../helpers/repair-losses.js'
import {
  type Files,
  makeSpecimen,
  namesOf,
  type Outcome,
  readFiles,
  repairAndJudge,
  type Specimen,
  withDirectory,
  writeFiles
} from './repair-harness.js'

const timeoutMs = 280_000

const tablePattern = /^level-1\/db\/.*\.ldb$/
const logPattern = /^level-1\/db\/.*\.log$/
const manifestPattern = /^level-1\/db\/MANIFEST/
const currentName = 'level-1/db/CURRENT'
const stateName = 'level-1/STATE'

let specimen: Specimen
let crashed: Specimen

beforeAll(async () => {
  specimen = await makeSpecimen({ seed: 11, commits: 700, closed: true })
  crashed = await makeSpecimen({ seed: 12, commits: 690, closed: false, compression: 'lz4' })
}, timeoutMs)

async function attempt(
  inflict: (files: Files) => string,
  of: Specimen = specimen
): Promise<Outcome> {
  const files = new Map(of.files)
  let what = 'nothing yet'
  try {
    what = inflict(files)
    return await repairAndJudge(of, files)
  } catch (error) {
    const message = error instanceof Error ? (error.stack ?? error.message) : String(error)
    throw new Error(`${what}: ${message}`, { cause: error })
  }
}

function change(files: Files, name: string, make: (bytes: Buffer) => Buffer): void {
  files.set(name, make(Buffer.from(files.get(name)!)))
}

function flip(files: Files, name: string, bit: number): string {
  change(files, name, (bytes) => {
    bytes[bit >> 3] ^= 1 << (bit & 7)
    return bytes
  })
  return `bit ${bit & 7} of byte ${bit >> 3} in ${name}`
}

function remove(files: Files, name: string): string {
  files.delete(name)
  return `${name} removed`
}

function zero(files: Files, name: string): string {
  change(files, name, (bytes) => bytes.fill(0))
  return `${name} zeroed`
}

function cutTo(files: Files, name: string, sizeBytes: number): string {
  change(files, name, (bytes) => bytes.subarray(0, sizeBytes))
  return `${name} cut to ${sizeBytes} bytes`
}

describe('a repair of a level store', () => {
  it('has something to work on', () => {
    for (const { files } of [specimen, crashed]) {
      expect(namesOf(files, tablePattern).length).toBeGreaterThan(1)
      expect(namesOf(files, logPattern).length).toBeGreaterThan(0)
    }
  })

  it(
    'leaves an undamaged one alone',
    async () => {
      for (const each of [specimen, crashed]) {
        const { report, isRefused } = await attempt(() => 'nothing', each)
        expect(isRefused).toBe(false)
        expect(report).toMatchObject({ rebuilt: false, findings: [], lost: [], possiblyStale: [] })
      }
    },
    timeoutMs
  )

  it(
    'names what a bit of a table took away, and keeps the rest',
    async () => {
      const tally = new Tally()
      for (const each of [specimen, crashed]) {
        for (const [index, name] of namesOf(each.files, tablePattern).entries()) {
          const random = new SeededRandom(index)
          const { length } = each.files.get(name)!
          for (let i = 0; i < 3; i++) {
            const bit = random.below((length - 48) * 8)
            tally.add(await attempt((files) => flip(files, name, bit), each))
          }
        }
      }
      expect(tally.rebuilt).toBeGreaterThan(tally.cases / 2)
      expect(tally.missing).toBeGreaterThan(0)
      expect(tally.stale).toBeGreaterThan(0)
    },
    timeoutMs
  )

  it(
    'loses nothing where only footer, index or filter of a table are damaged',
    async () => {
      const [name] = namesOf(specimen.files, tablePattern)
      const { length } = specimen.files.get(name)!
      for (const behindEnd of [1, 20, 60, 100]) {
        const bit = (length - behindEnd) * 8
        const { report, missing, stale } = await attempt((files) => flip(files, name, bit))
        if (report.rebuilt) expect(report).toMatchObject({ lost: [], possiblyStale: [] })
        // Padding of the footer.
        else expect(behindEnd).toBe(20)
        expect({ missing, stale }).toEqual({ missing: 0, stale: 0 })
      }
    },
    timeoutMs
  )

  it(
    'names the end of a table that was cut, and all of one that is zeroed or gone',
    async () => {
      const tally = new Tally()
      for (const name of namesOf(specimen.files, tablePattern)) {
        const { length } = specimen.files.get(name)!
        for (const share of [0.3, 0.9]) {
          const cut = Math.floor(length * share)
          tally.add(await attempt((files) => cutTo(files, name, cut)))
        }
        tally.add(await attempt((files) => zero(files, name)))
        tally.add(await attempt((files) => remove(files, name)))
      }
      expect(tally).toMatchObject({ rebuilt: tally.cases, reported: tally.cases })
      expect(tally.missing).toBeGreaterThan(0)
    },
    timeoutMs
  )

  it(
    'finds tables whose names were swapped',
    async () => {
      const [a, b] = namesOf(specimen.files, tablePattern)
      const { report, missing, stale } = await attempt((files) => {
        const bytes = files.get(a)!
        files.set(a, files.get(b)!)
        files.set(b, bytes)
        return 'swapped'
      })
      expect(report).toMatchObject({ rebuilt: true, lost: [], possiblyStale: [] })
      expect({ missing, stale }).toEqual({ missing: 0, stale: 0 })
    },
    timeoutMs
  )

  it(
    'loses nothing without CURRENT, or with one from elsewhere',
    async () => {
      for (const text of [undefined, '', 'MANIFEST-000777\n', 'nonsense', '\0'.repeat(16)]) {
        const { report, missing, stale } = await attempt((files) => {
          if (text === undefined) return remove(files, currentName)
          files.set(currentName, Buffer.from(text))
          return `CURRENT is ${text}`
        })
        expect(report).toMatchObject({ rebuilt: true, lost: [], possiblyStale: [] })
        expect({ missing, stale }).toEqual({ missing: 0, stale: 0 })
      }
    },
    timeoutMs
  )

  it(
    'reads all tables without a manifest, and says that anything may be stale',
    async () => {
      for (const each of [specimen, crashed]) {
        const [name] = namesOf(each.files, manifestPattern)
        const harms: ((files: Files) => string)[] = [
          (files) => flip(files, name, 300),
          (files) => remove(files, name),
          (files) => cutTo(files, name, 40),
          (files) => zero(files, name)
        ]
        for (const harm of harms) {
          const { report, missing } = await attempt(harm, each)
          expect(report.rebuilt).toBe(true)
          expect(report.possiblyStale).toMatchObject([{ lowKey: undefined, highKey: undefined }])
          expect(missing).toBe(0)
        }
      }
    },
    timeoutMs
  )

  it(
    'replays what a damaged log of LevelDB had, or says that anything may be lost',
    async () => {
      const tally = new Tally()
      for (const each of [specimen, crashed]) {
        for (const name of namesOf(each.files, logPattern)) {
          const { length } = each.files.get(name)!
          const random = new SeededRandom(length)
          for (let i = 0; i < 4; i++) {
            const bit = random.below(length * 8)
            tally.add(await attempt((files) => flip(files, name, bit), each))
          }
          tally.add(await attempt((files) => remove(files, name), each))
          tally.add(await attempt((files) => cutTo(files, name, length >> 1), each))
          tally.add(await attempt((files) => zero(files, name), each))
        }
      }
      expect(tally.rebuilt).toBeGreaterThan(tally.cases / 2)
    },
    timeoutMs
  )

  it(
    'tells of a lost directory, and loses nothing with the state alone',
    async () => {
      const gone = await attempt((files) => {
        for (const name of namesOf(files, /^level-1\/db\//)) files.delete(name)
        return 'db deleted'
      })
      expect(gone.report.lost).toMatchObject([{ lowKey: undefined, highKey: undefined }])
      expect(gone.missing).toBeGreaterThan(0)
      for (const each of [specimen, crashed]) {
        for (const harm of [remove, zero]) {
          const { report, missing, stale } = await attempt((files) => harm(files, stateName), each)
          expect(report).toMatchObject({ rebuilt: true, lost: [], possiblyStale: [] })
          expect({ missing, stale }).toEqual({ missing: 0, stale: 0 })
        }
      }
    },
    timeoutMs
  )

  it(
    'goes on saying that a store is unverified, through everything but a copy',
    async () => {
      await withDirectory(async (directory) => {
        const files = new Map(specimen.files)
        remove(files, namesOf(files, manifestPattern)[0])
        writeFiles(directory, files)
        await repair(directory)
        for (let i = 0; i < 2; i++) {
          const store = await open(directory, { backend: 'level' })
          await store.put('more', 'bytes')
          await store.persist()
          const findings = await store.verify('standard')
          expect(findings).toMatchObject([{ kind: 'unverified', severity: 'warning' }])
          expect(findings[0].message).toMatch(/MANIFEST|manifest/)
          expect(store.stats()).toMatchObject({ unverified: 1 })
          await store.close()
        }
        // Damage that is repaired by the book does not end it either.
        const [log] = namesOf(readFiles(directory), /^level-2\/db\/.*\.(log|ldb)$/)
        const bytes = readFiles(directory).get(log)!
        bytes[bytes.length >> 1] ^= 1
        writeFiles(directory, new Map([[log, bytes]]))
        expect((await repair(directory)).rebuilt).toBe(true)
        const store = await open(directory, { backend: 'level' })
        expect(await store.verify('basic')).toMatchObject([{ kind: 'unverified' }])
        await store.close()
      })
    },
    timeoutMs
  )

  it(
    'loses nothing of a log of LevelDB where the log of the store still has it',
    async () => {
      const kept = await makeSpecimen({ seed: 13, commits: 150, closed: false, keepsLog: true })
      for (const name of namesOf(kept.files, logPattern)) {
        for (const harm of [remove, zero, (files: Files) => flip(files, name, 5000 * 8)]) {
          const { report, missing, stale } = await attempt((files) => harm(files, name), kept)
          expect(report).toMatchObject({ rebuilt: true, lost: [], possiblyStale: [] })
          expect(report.findings.map(({ kind }) => kind)).toContain('replayed')
          expect({ missing, stale }).toEqual({ missing: 0, stale: 0 })
        }
      }
    },
    timeoutMs
  )
})
