import { isCorruption } from '../../../errors.js'
import { BlockEntries } from './block-entries.js'
import { EntryType, keyTrailerBytes } from './format.js'
import { compareInternal, entryTypeOf } from './internal-key.js'

/** Between which keys those of a block have to be. */
export interface BlockBounds {
  /** Not included; undefined: none. */
  readonly after: Buffer | undefined
  /** The first key exactly; undefined: any. */
  readonly from: Buffer | undefined
  /** Included; undefined: none. */
  readonly to: Buffer | undefined
}

/** Why the contents are no data block at this place; undefined where they are one. */
export function flawOfBlock(
  contents: Buffer,
  { after, from, to }: BlockBounds
): string | undefined {
  try {
    const entries = new BlockEntries(contents)
    let before = after
    while (entries.next()) {
      const { key } = entries
      if (key.length < keyTrailerBytes) return 'it has too short a key'
      const type = entryTypeOf(key)
      if (type !== EntryType.value && type !== EntryType.deletion) {
        return `it has an entry of the unknown type ${type}`
      }
      if (before !== undefined && compareInternal(before, key) >= 0) return 'keys are out of order'
      if (before === after && from && compareInternal(from, key) !== 0) return misplaced
      before = Buffer.from(key)
    }
    if (before === after) return 'it has no entries'
    return to && compareInternal(before!, to) > 0 ? misplaced : undefined
  } catch (error) {
    if (!isCorruption(error)) throw error
    return error.message
  }
}

const misplaced = 'its keys belong elsewhere'
