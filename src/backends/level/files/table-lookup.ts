import { isCorruption } from '../../../errors.js'
import type { Vfs } from '../../../vfs/vfs.js'
import { BlockEntries } from './block-entries.js'
import { parseFileName } from './file-names.js'
import { keyTrailerBytes } from './format.js'
import { openIfThere } from './read-fully.js'
import { readBlock, TableBlocks } from './table-blocks.js'
import type { LiveTable } from './version-edit.js'

/** What a table file says of itself, as far as it can be read. */
export interface TableProbe {
  readonly path: string
  readonly number: number
  readonly sizeBytes: number
  /** With their trailers; undefined: the block, or the index, is damaged. */
  readonly smallest: Buffer | undefined
  readonly largest: Buffer | undefined
}

/** Looks at every table file of a directory. */
export async function probeTables(
  vfs: Vfs,
  directory: string,
  names: readonly string[]
): Promise<TableProbe[]> {
  const probes: TableProbe[] = []
  for (const name of names) {
    const parsed = parseFileName(name)
    if (parsed?.kind !== 'table') continue
    const path = `${directory}/${name}`
    const file = await openIfThere(vfs, path)
    if (file === undefined) continue
    try {
      const sizeBytes = file.sizeSync()
      const outer = await orUndefined(async () => {
        const blocks = await TableBlocks.open(file, sizeBytes, Buffer.alloc(0))
        const [first, last] = [blocks.places[0], blocks.places.at(-1)!]
        return {
          smallest: await orUndefined(async () => firstKey(await readBlock(file, first))),
          largest: await orUndefined(async () => lastKey(await readBlock(file, last)))
        }
      })
      const { smallest, largest } = outer ?? {}
      probes.push({ path, number: parsed.number, sizeBytes, smallest, largest })
    } finally {
      await file.close()
    }
  }
  return probes
}

/** The file that holds a table of the manifest: under its own name, or under another's. */
export function findTable(table: LiveTable, probes: readonly TableProbe[]): TableProbe | undefined {
  const own = probes.find(({ number }) => number === table.number)
  if (own && isExactly(own, table)) return own
  const elsewhere = probes.find((probe) => isExactly(probe, table))
  if (elsewhere) return elsewhere
  return own && mayBe(own, table) ? own : undefined
}

function isExactly({ sizeBytes, smallest, largest }: TableProbe, table: LiveTable): boolean {
  return (
    sizeBytes === table.sizeBytes &&
    smallest?.equals(table.smallest) === true &&
    largest?.equals(table.largest) === true
  )
}

/** Nothing that can be read of it speaks against it. */
function mayBe({ smallest, largest }: TableProbe, table: LiveTable): boolean {
  return (smallest?.equals(table.smallest) ?? true) && (largest?.equals(table.largest) ?? true)
}

function firstKey(contents: Buffer): Buffer | undefined {
  const entries = new BlockEntries(contents)
  return entries.next() ? wholeKey(entries) : undefined
}

function lastKey(contents: Buffer): Buffer | undefined {
  const entries = new BlockEntries(contents)
  let isAny = false
  while (entries.next()) isAny = true
  return isAny ? wholeKey(entries) : undefined
}

function wholeKey({ key }: BlockEntries): Buffer | undefined {
  return key.length < keyTrailerBytes ? undefined : Buffer.from(key)
}

/** Damage is an answer here. */
async function orUndefined<T>(read: () => Promise<T>): Promise<T | undefined> {
  try {
    return await read()
  } catch (error) {
    if (isCorruption(error)) return undefined
    throw error
  }
}
