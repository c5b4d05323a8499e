/** Constants of a level store's directory; see format.md beside this file. */

export const stateName = 'STATE'
/** LevelDB's own directory beside it. */
export const databaseName = 'db'

/** First byte of every stored key: whose it is. */
export const KeySpace = { engine: 0, user: 1 } as const

/** Stored under this key: the commit up to which everything is in LevelDB. */
export const appliedKey = Buffer.from('\0applied', 'latin1')

/**
 * In front of every stored value: two words of checksum, five bytes each, and the sequence number in
 * eight. Every byte carries seven bits, the lowest first, so that text stays text.
 */
export const StoredValue = { sumLow: 0, sumHigh: 5, seq: 10, value: 18 } as const
export const seqBytes = 8

export const stateMagic = Buffer.from('KTSLEVEL', 'latin1')
export const stateVersion = 1
export const stateSlotBytes = 4096
/** In front of a slot's text. */
export const StateHeader = {
  magic: 0,
  version: 8,
  textBytes: 12,
  sumLow: 16,
  sumHigh: 20,
  text: 24
}
