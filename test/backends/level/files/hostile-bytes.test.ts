import * as fc from 'fast-check'
import { beforeAll, describe, expect, it } from 'vitest'
import { maskedCrc } from '../../../../dist/backends/level/files/crc.js'
import { BlockEntries } from '../../../../dist/backends/level/files/block-entries.js'
import { unpackBlock } from '../../../../dist/backends/level/files/block.js'
import { findBlockEnd } from '../../../../dist/backends/level/files/block-scan.js'
import { checkLevelDb } from '../../../../dist/backends/level/files/leveldb-check.js'
import { LevelEntries } from '../../../../dist/backends/level/files/leveldb-entries.js'
import { readLogRecords } from '../../../../dist/backends/level/files/log-records.js'
import { findSources } from '../../../../dist/backends/level/files/salvage-sources.js'
import { decodeVersionEdit } from '../../../../dist/backends/level/files/version-edit.js'
import { WriteBatchEntries } from '../../../../dist/backends/level/files/write-batch.js'
import { SeededRandom } from '../../../../dist/base/random.js'
import { isCorruption } from '../../../../dist/errors.js'
import { MemVfs } from '../../../../dist/vfs/mem-vfs.js'
import {
  directory,
  type LevelDirectory,
  makeLevelDirectory,
  silent,
  smallShape,
  vfsOf
} from './level-directory.js'

/** Runs a decoder; damage may be the answer, nothing else may be thrown. */
function decode(work: () => unknown): void {
  try {
    work()
  } catch (error) {
    if (!isCorruption(error)) throw error
  }
}

function drain(walk: { next(): boolean }): number {
  let count = 0
  while (walk.next()) count++
  return count
}

const bytes = fc.uint8Array({ maxLength: 600 }).map((array) => Buffer.from(array))

async function recordsOf(contents: Buffer) {
  const vfs = new MemVfs()
  const file = vfs.openSync('/log', 'create')
  file.writeSync(contents, 0)
  const items = []
  for await (const item of readLogRecords(file, contents.length)) items.push(item)
  file.closeSync()
  return items
}

/** Writes records as LevelDB does, each in as many fragments as it needs. */
function logOf(records: readonly Buffer[]): Buffer {
  const parts: Buffer[] = []
  let at = 0
  const put = (part: Buffer): void => {
    parts.push(part)
    at += part.length
  }
  for (const record of records) {
    let start = 0
    let isFirst = true
    do {
      if (32768 - (at % 32768) < 7) put(Buffer.alloc(32768 - (at % 32768)))
      const end = Math.min(start + 32768 - (at % 32768) - 7, record.length)
      const isLast = end === record.length
      const type = isFirst ? (isLast ? 1 : 2) : isLast ? 4 : 3
      const header = Buffer.alloc(7)
      header.writeUInt16LE(end - start, 4)
      header[6] = type
      const body = Buffer.concat([header, record.subarray(start, end)])
      body.writeUInt32LE(maskedCrc(body.subarray(6)), 0)
      put(body)
      start = end
      isFirst = false
    } while (start < record.length)
  }
  return Buffer.concat(parts)
}

describe('bytes that LevelDB did not write', () => {
  it('are damage to the decoders, and never anything else', () => {
    fc.assert(
      fc.property(bytes, (input) => {
        decode(() => decodeVersionEdit(input))
        decode(() => drain(new WriteBatchEntries(input)))
        decode(() => drain(new BlockEntries(input)))
        decode(() => unpackBlock(Buffer.concat([input, Buffer.from([1, 0, 0, 0, 0])])))
        findBlockEnd(input, 0)
      }),
      { numRuns: 5000 }
    )
  })

  it('in a log are told apart from records, which are read whatever lies before', async () => {
    const sizes = fc.array(fc.nat({ max: 70_000 }), { minLength: 1, maxLength: 12 })
    await fc.assert(
      fc.asyncProperty(sizes, fc.nat(), fc.nat({ max: 400 }), async (lengths, seed, harmBytes) => {
        const random = new SeededRandom(seed)
        const records = lengths.map((length, i) => Buffer.alloc(length, i + 1))
        const log = logOf(records)
        const sound = await recordsOf(log)
        const isRead = (record: Buffer, i: number): boolean => {
          const item = sound[i]
          return item.kind === 'record' && item.bytes.equals(record)
        }
        expect(sound.length).toBe(records.length)
        expect(records.every(isRead)).toBe(true)
        if (log.length === 0) return
        const start = random.below(log.length)
        const end = Math.min(start + 1 + harmBytes, log.length)
        const damaged = Buffer.from(log)
        for (let i = start; i < end; i++) damaged[i] ^= 1 + random.below(255)
        const items = await recordsOf(damaged)
        let at = 0
        for (const item of items) {
          expect(item.offset).toBeGreaterThanOrEqual(at)
          at = item.endOffset
          // No record that was not written.
          if (item.kind === 'record') expect(records.some((r) => r.equals(item.bytes))).toBe(true)
        }
        // Whole blocks before and behind are read.
        const [first, last] = [start >> 15, (end - 1) >> 15]
        const kept = items.filter(({ kind }) => kind === 'record').length
        const untouched = sound.filter(
          (item) => item.endOffset <= first * 32768 || item.offset >= (last + 1) * 32768
        )
        expect(kept).toBeGreaterThanOrEqual(untouched.length)
      }),
      { numRuns: 150 }
    )
  })

  describe('in a directory', () => {
    let raw: LevelDirectory
    let packed: LevelDirectory

    beforeAll(async () => {
      const shape = { ...smallShape, batches: 14, bufferBytes: 64 << 10 }
      raw = await makeLevelDirectory({ ...shape, seed: 21 })
      packed = await makeLevelDirectory({ ...shape, seed: 22, compression: true })
    })

    async function checkAndSalvage(files: ReadonlyMap<string, Buffer>): Promise<void> {
      const vfs = vfsOf(files)
      for (const level of ['basic', 'comprehensive'] as const) {
        const findings = await checkLevelDb(vfs, directory, [], level, silent, () => true)
        for (const { kind, message, path } of findings) {
          expect(kind).toMatch(/^[a-z-]+$/)
          expect(message).toContain(path)
        }
      }
      const sources = await findSources(vfs, directory, undefined)
      const read = new LevelEntries(vfs, sources!.tables, sources!.logs.entries, () => true)
      await read.start()
      let last: Buffer | undefined
      for (let entry = await read.next(); entry; entry = await read.next()) {
        if (last) expect(Buffer.compare(last, entry.key)).toBeLessThan(0)
        last = entry.key
      }
      await read.close()
    }

    it('are found, or harmless, whatever they are', async () => {
      await fc.assert(
        fc.asyncProperty(fc.nat(), fc.nat({ max: 5 }), async (seed, kind) => {
          const random = new SeededRandom(seed)
          const { files } = random.chance(1, 2) ? raw : packed
          const damaged = new Map(files)
          const names = [...files.keys()].filter((name) => !name.startsWith('LO'))
          for (let i = random.below(3); i >= 0; i--) {
            const name = random.pick(names)
            damaged.set(name, harmed(Buffer.from(damaged.get(name)!), kind, random))
          }
          await checkAndSalvage(damaged)
        }),
        { numRuns: 120 }
      )
    })

    it('are so with good checksums too', async () => {
      await fc.assert(
        fc.asyncProperty(fc.nat(), async (seed) => {
          const random = new SeededRandom(seed)
          const { files } = random.chance(1, 2) ? raw : packed
          const damaged = new Map(files)
          const names = [...files.keys()].filter((name) => /ldb$|log$|^MANI/.test(name))
          const name = random.pick(names)
          const contents = Buffer.from(files.get(name)!)
          damaged.set(
            name,
            name.endsWith('ldb') ? forgedTable(contents, random) : forgedLog(contents, random)
          )
          await checkAndSalvage(damaged)
        }),
        { numRuns: 120 }
      )
    })
  })
})

function harmed(contents: Buffer, kind: number, random: SeededRandom): Buffer {
  if (contents.length === 0) return contents
  const at = random.below(contents.length)
  switch (kind) {
    case 0:
      contents[at] ^= 1 << random.below(8)
      return contents
    case 1:
      return contents.subarray(0, at)
    case 2:
      return Buffer.from(random.fill(contents.subarray(at)))
    case 3:
      return contents.fill(0, at)
    case 4:
      return Buffer.concat([contents.subarray(at), contents.subarray(0, at)])
    default:
      return Buffer.concat([contents, random.fill(Buffer.alloc(random.below(5000)))])
  }
}

/** Changes bytes of a block and makes its checksum good again. */
function forgedTable(contents: Buffer, random: SeededRandom): Buffer {
  const ends: number[] = []
  for (let at = 0; ;) {
    const end = findBlockEnd(contents, at)
    if (end < 0) break
    ends.push(end)
    at = end
  }
  const i = random.below(ends.length)
  const [start, end] = [i === 0 ? 0 : ends[i - 1], ends[i]]
  for (let n = random.below(4); n >= 0; n--) {
    contents[start + random.below(end - 4 - start)] = random.below(256)
  }
  contents.writeUInt32LE(maskedCrc(contents.subarray(start, end - 4)), end - 4)
  return contents
}

/** The same with a record of a log or a manifest. */
function forgedLog(contents: Buffer, random: SeededRandom): Buffer {
  const offsets: number[] = []
  for (let at = 0; at + 7 <= contents.length;) {
    if (32768 - (at % 32768) < 7) {
      at += 32768 - (at % 32768)
      continue
    }
    offsets.push(at)
    at += 7 + contents.readUInt16LE(at + 4)
  }
  const at = random.pick(offsets)
  const end = Math.min(at + 7 + contents.readUInt16LE(at + 4), contents.length)
  for (let n = random.below(4); n >= 0 && end > at + 7; n--) {
    contents[at + 7 + random.below(Math.min(60, end - at - 7))] = random.below(256)
  }
  contents.writeUInt32LE(maskedCrc(contents.subarray(at + 6, end)), at)
  return contents
}
