import { BlockEntries } from './block-entries.js'
import { malformed } from './byte-reader.js'
import { EntryType, keyTrailerBytes } from './format.js'
import { compareInternal, entryTypeOf } from './internal-key.js'

/** Where the keys of a block have to be; undefined: no bound. All with their trailers. */
export interface BlockBounds {
  /** Before the first key. */
  readonly after: Buffer | undefined
  /** The first key itself. */
  readonly first: Buffer | undefined
  /** The last key or behind it. */
  readonly to: Buffer | undefined
  /** The last key itself. */
  readonly last?: Buffer | undefined
}

/**
 * Checks that contents are those of the data block at this place: entries of known types, in order,
 * within the bounds. Returns the last key; throws CORRUPTION. `visit` gets each entry as it passes by,
 * before it is known what follows.
 */
export function checkBlock(
  contents: Buffer,
  { after, first, to, last }: BlockBounds,
  visit?: (entry: BlockEntries) => void
): Buffer {
  const entries = new BlockEntries(contents)
  let isFirst = true
  let before = after
  while (entries.next()) {
    const { key } = entries
    if (key.length < keyTrailerBytes) throw malformed('a block has too short a key')
    const type = entryTypeOf(key)
    if (type !== EntryType.value && type !== EntryType.deletion) {
      throw malformed(`a block has an entry of the unknown type ${type}`)
    }
    if (before && compareInternal(before, key) >= 0) throw malformed('keys are out of order')
    if (isFirst && first && compareInternal(first, key) !== 0) {
      throw malformed('its first key is not the one that the manifest says')
    }
    visit?.(entries)
    before = Buffer.from(key)
    isFirst = false
  }
  if (isFirst || before === undefined) throw malformed('a block has no entries')
  if (to && compareInternal(before, to) > 0) throw malformed('a block has keys behind its bound')
  if (last && compareInternal(before, last) !== 0) {
    throw malformed('its last key is not the one that the manifest says')
  }
  return before
}
