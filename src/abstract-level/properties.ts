/** Levels that LevelDB has. */
const leastLevels = 7

/** A property by LevelDB's name, or a figure by ours, as text; empty for what there is not. */
export function propertyOf(stats: Readonly<Record<string, number>>, name: string): string {
  const figure = /^kintsugi\.(\w+)$/.exec(name)?.[1]
  if (figure !== undefined) return String(Object.hasOwn(stats, figure) ? stats[figure] : '')
  const level = /^leveldb\.num-files-at-level(\d{1,3})$/.exec(name)?.[1]
  if (level !== undefined) return Number(level) < levels(stats) ? filesAt(stats, level) : ''
  switch (name) {
    case 'leveldb.stats':
      return levelTable(stats)
    case 'leveldb.sstables':
      return Array.from({ length: levels(stats) }, (_, at) => `--- level ${at} ---\n`).join('')
    case 'leveldb.approximate-memory-usage':
      return String(memoryBytes(stats))
    default:
      return ''
  }
}

function levels(stats: Readonly<Record<string, number>>): number {
  let count = leastLevels
  while (stats[`level${count}Files`] !== undefined) count++
  return count
}

function filesAt(stats: Readonly<Record<string, number>>, level: number | string): string {
  return String(stats[`level${level}Files`] ?? 0)
}

/** Levels with their tables, then every other figure: people read this. */
function levelTable(stats: Readonly<Record<string, number>>): string {
  const lines = ['Level  Files  Size (MiB)', '------------------------']
  for (let level = 0; level < levels(stats); level++) {
    const sizeMiB = ((stats[`level${level}Bytes`] ?? 0) / 2 ** 20).toFixed(1)
    const files = filesAt(stats, level)
    lines.push(`${String(level).padStart(5)}  ${files.padStart(5)}  ${sizeMiB.padStart(10)}`)
  }
  for (const [name, value] of Object.entries(stats)) {
    if (!/^level\d+(Files|Bytes)$/.test(name)) lines.push(`${name}: ${value}`)
  }
  return `${lines.join('\n')}\n`
}

/** What is kept in memory, as far as the backend counts it. */
function memoryBytes(stats: Readonly<Record<string, number>>): number {
  const parts = ['cacheBytes', 'memtableBytes', 'dirtyBytes', 'filterBytes']
  return parts.reduce((sum, name) => sum + (stats[name] ?? 0), 0)
}
