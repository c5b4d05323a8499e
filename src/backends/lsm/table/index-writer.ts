import { assert } from '../../../base/assert.js'
import { EntryKind } from '../../../memtable/entry.js'
import { BlockBuilder } from './block-builder.js'
import { BlockKind, maxIndexLevels } from './format.js'
import { encodeHandle } from './table-output.js'
import type { BlockHandle, TableOutput } from './table-output.js'

/** A block that the level above has to refer to: nothing in it lies before the separator. */
interface Child {
  readonly separator: Buffer
  readonly handle: BlockHandle
}

export interface FinishedIndex {
  readonly root: BlockHandle
  readonly levels: number
  readonly blockCount: number
}

/** Collects a table's data blocks and builds the tree above them, level by level. */
export class IndexWriter {
  readonly #blockBytes: number
  #children: Child[] = []
  #lastKey: Buffer | undefined

  constructor(blockBytes: number) {
    this.#blockBytes = blockBytes
  }

  /** The next data block; the builder still knows its first and last key. */
  add(builder: BlockBuilder, units: number, bytes: number): void {
    const first = builder.firstKey.subarray(0, builder.firstKeyBytes)
    // The shortest key that tells this block from the one before it.
    let length = first.length
    const last = this.#lastKey
    if (last !== undefined) {
      length = 0
      while (length < last.length && last[length] === first[length]) length++
      length++
    }
    const handle = { block: this.#children.length, units, bytes }
    this.#children.push({ separator: Buffer.from(first.subarray(0, length)), handle })
    this.#lastKey = Buffer.from(builder.lastKey.subarray(0, builder.lastKeyBytes))
  }

  /** Writes the index; the root is its last block, or the only data block. */
  finish(output: TableOutput): FinishedIndex {
    let children = this.#children
    let blockCount = children.length
    let levels = 0
    if (blockCount === 0) return { root: { units: 0, bytes: 0, block: 0 }, levels, blockCount }
    const builder = new BlockBuilder(this.#blockBytes)
    while (children.length > 1) {
      levels++
      assert(levels <= maxIndexLevels, 'an index without end')
      const parents: Child[] = []
      let first = children[0]
      const end = (): void => {
        const { units, bytes } = output.append(BlockKind.index, levels, builder.finish(), false)
        parents.push({ separator: first.separator, handle: { block: blockCount++, units, bytes } })
        builder.reset()
      }
      builder.reset()
      for (const child of children) {
        if (addChild(builder, child)) continue
        end()
        first = child
        assert(addChild(builder, child), 'an index entry that fits into no block')
      }
      end()
      children = parents
    }
    return { root: children[0].handle, levels, blockCount }
  }
}

function addChild(builder: BlockBuilder, { separator, handle }: Child): boolean {
  const value = encodeHandle(handle)
  return builder.add(separator, 0, separator.length, 1, EntryKind.put, value, 0, value.length)
}
