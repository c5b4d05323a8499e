// What the golden stores hold; plain JavaScript, so that the script that makes them and the test
// that opens them read the same.

/** Entries in the order they are put; later ones win, undefined removes. */
export function* goldenWrites() {
  for (let i = 0; i < 60; i++) yield [`key${i % 40}`, `value ${i}`]
  yield ['', 'of the empty key']
  yield ['empty', '']
  yield ['zeros and more', Buffer.from([0, 0, 255, 0, 1])]
  yield [Buffer.from([0]), 'zero']
  yield [Buffer.from([255, 255]), 'high']
  yield ['grüße', 'ünïcode 漢字']
  yield ['large', Buffer.alloc(5000, 'large value;')]
  yield ['long'.padEnd(3000, '.'), 'of a long key']
  for (let i = 0; i < 40; i += 5) yield [`key${i}`, undefined]
  yield ['large', Buffer.alloc(4500, 'another large value;')]
  yield ['last', 'commit']
}

export function goldenEntries() {
  const entries = new Map()
  for (const [key, value] of goldenWrites()) {
    const text = Buffer.from(key).toString('latin1')
    if (value === undefined) entries.delete(text)
    else entries.set(text, Buffer.from(value))
  }
  return [...entries].sort(([a], [b]) => (a < b ? -1 : 1))
}

export const goldenOptions = {
  walSegmentBytes: 4096,
  cacheBytes: 1024 * 1024,
  pageBytes: 4096,
  memtableBytes: 16 * 1024,
  blockBytes: 1024,
  compactionThreshold: 2
}
