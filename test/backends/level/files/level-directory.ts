import { ClassicLevel } from 'classic-level'
import fs from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Progress } from '../../../../dist/backend/backend.js'
import { SeededRandom } from '../../../../dist/base/random.js'
import { MemVfs } from '../../../../dist/vfs/mem-vfs.js'

export const directory = '/db'

export const silent: Progress = { report: () => {}, signal: undefined }

/** What a LevelDB wrote, and what it held at the end. */
export interface LevelDirectory {
  readonly files: ReadonlyMap<string, Buffer>
  readonly entries: ReadonlyMap<string, Buffer>
  /** All that the entries ever were; a deleted key's too. */
  readonly history: ReadonlyMap<string, readonly Buffer[]>
}

export interface LevelDirectoryShape {
  readonly seed: number
  readonly compression: boolean
  readonly batches: number
  readonly tableBytes: number
  readonly bufferBytes: number
}

export const smallShape: LevelDirectoryShape = {
  seed: 1,
  compression: false,
  batches: 40,
  tableBytes: 1 << 20,
  bufferBytes: 64 << 10
}

/** A stored key of the tests: the user's behind the prefix. */
export function stored(key: string): Buffer {
  return Buffer.from(`\x01${key}`, 'latin1')
}

/** Real files of a real LevelDB: overwrites, deletions, some large values and long keys. */
export async function makeLevelDirectory(shape: LevelDirectoryShape): Promise<LevelDirectory> {
  const path = fs.mkdtempSync(join(tmpdir(), 'kintsugi-level-'))
  try {
    const written = await writeLevel(path, shape)
    const names = fs.readdirSync(path)
    const files = new Map(names.map((name) => [name, fs.readFileSync(join(path, name))]))
    // Closing may end a compaction before it wrote anything of its table.
    for (const [name, { length }] of files) {
      if (length === 0 && name.endsWith('.ldb')) files.delete(name)
    }
    return { files, ...written }
  } finally {
    fs.rmSync(path, { recursive: true })
  }
}

async function writeLevel(path: string, shape: LevelDirectoryShape) {
  const db = new ClassicLevel<Buffer, Buffer>(path, {
    keyEncoding: 'buffer',
    valueEncoding: 'buffer',
    compression: shape.compression,
    writeBufferSize: shape.bufferBytes,
    maxFileSize: shape.tableBytes
  })
  await db.open()
  const random = new SeededRandom(shape.seed)
  const entries = new Map<string, Buffer>()
  const history = new Map<string, Buffer[]>()
  for (let i = 0; i < shape.batches; i++) {
    const batch = db.batch()
    for (let j = 0; j < 50; j++) {
      const key = keyOf(random.below(1200))
      if (random.chance(1, 8)) {
        batch.del(stored(key))
        entries.delete(key)
        continue
      }
      const value = Buffer.alloc(valueBytes(random))
      random.fill(value.subarray(0, value.length >> 1))
      batch.put(stored(key), value)
      entries.set(key, value)
      history.set(key, [...(history.get(key) ?? []), value])
    }
    if (i % 9 === 4) {
      const key = `long${'x'.repeat(65_000 + random.below(500))}`.slice(0, 65_535)
      batch.put(stored(key), Buffer.from('long'))
      entries.set(key, Buffer.from('long'))
      history.set(key, [Buffer.from('long')])
    }
    await batch.write()
    if (i === shape.batches >> 1) await db.compactRange(stored(''), stored('\xff'))
  }
  await db.close()
  return { entries, history }
}

export function keyOf(index: number): string {
  return `key-${String(index).padStart(5, '0')}`
}

function valueBytes(random: SeededRandom): number {
  return random.chance(1, 200) ? 100 << 10 : random.below(160)
}

/** The files in memory. */
export function vfsOf(files: ReadonlyMap<string, Buffer>): MemVfs {
  const vfs = new MemVfs()
  vfs.mkdirSync(directory)
  for (const [name, bytes] of files) {
    const file = vfs.openSync(`${directory}/${name}`, 'create')
    file.writeSync(bytes, 0)
    file.closeSync()
  }
  return vfs
}

/** The same files, one of them changed, or gone. */
export function changed(
  files: ReadonlyMap<string, Buffer>,
  name: string,
  change: (bytes: Buffer) => Buffer | undefined
): Map<string, Buffer> {
  const copy = new Map(files)
  const bytes = change(Buffer.from(files.get(name)!))
  if (bytes === undefined) copy.delete(name)
  else copy.set(name, bytes)
  return copy
}

export function flipped(bytes: Buffer, offset: number, mask = 1): Buffer {
  bytes[offset] ^= mask
  return bytes
}

export function namesOf(files: ReadonlyMap<string, Buffer>, pattern: RegExp): string[] {
  return [...files.keys()].filter((name) => pattern.test(name))
}
