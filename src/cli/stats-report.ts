import type { RecoverySummary } from '../telemetry/telemetry.js'
import { formatBytes, formatDuration, formatNumber, plural, table, type Style } from './output.js'

type Stats = Readonly<Record<string, number>>

/** What a level holds, and what compactions did there since the store was opened. */
export interface LevelFigures {
  readonly level: number
  readonly files: number
  readonly bytes: number
  readonly readBytes: number
  readonly writtenBytes: number
}

const levelPattern = /^level(\d+)(Files|Bytes|ReadBytes|WrittenBytes)$/

/** The levels of an LSM tree, from the first on; none for another backend. */
export function levelsOf(stats: Stats): LevelFigures[] {
  const count = Object.keys(stats).reduce((most, name) => {
    const match = levelPattern.exec(name)
    return match === null ? most : Math.max(most, Number(match[1]) + 1)
  }, 0)
  return Array.from({ length: count }, (_, level) => {
    const figure = (name: string): number => stats[`level${level}${name}`] ?? 0
    return {
      level,
      files: figure('Files'),
      bytes: figure('Bytes'),
      readBytes: figure('ReadBytes'),
      writtenBytes: figure('WrittenBytes')
    }
  })
}

/** Ratios that people ask for; undefined where nothing was counted yet. */
export interface Ratios {
  /** Tables that a read may have to look into: each of level 0, one of each other level. */
  readonly readAmplification: number | undefined
  /** Bytes written to tables for each byte that came from memory. */
  readonly writeAmplification: number | undefined
  readonly cacheHitRate: number | undefined
  /** Share of a filter's answers that spared a look into a table. */
  readonly filterSpared: number | undefined
  /** Share of lookups of absent keys that a filter let through. */
  readonly filterFalseRate: number | undefined
}

export function ratiosOf(stats: Stats): Ratios {
  const levels = levelsOf(stats)
  const { cacheHits = 0, cacheMisses = 0 } = stats
  const { filterChecks = 0, filterUseful = 0, filterFalse = 0 } = stats
  const written = levels.reduce((sum, { writtenBytes }) => sum + writtenBytes, 0)
  return {
    readAmplification: levels.length === 0 ? undefined : levels.reduce(addVisits, 0),
    writeAmplification: ratio(written, levels[0]?.writtenBytes ?? 0),
    cacheHitRate: ratio(cacheHits, cacheHits + cacheMisses),
    filterSpared: ratio(filterUseful, filterChecks),
    filterFalseRate: ratio(filterFalse, filterUseful + filterFalse)
  }
}

function addVisits(sum: number, level: LevelFigures): number {
  return sum + visitsOf(level)
}

function visitsOf({ level, files }: LevelFigures): number {
  return level === 0 ? files : Math.min(files, 1)
}

function ratio(part: number, whole: number): number | undefined {
  return whole > 0 ? part / whole : undefined
}

export interface StatsReport {
  readonly path: string
  readonly backend: string
  readonly diskBytes: number
  readonly stats: Stats
  readonly recovery: RecoverySummary
}

/** Figures for people: of the store, of its levels, of what was counted, and of its opening. */
export function statsText(report: StatsReport, style: Style): string {
  const { path, backend, diskBytes, stats, recovery } = report
  // Most counters are of a running program and 0 here; JSON has them all.
  const hasLevels = levelsOf(stats).length > 0
  const figures = Object.entries({ diskBytes, ...stats }).filter(
    ([name, value]) => value > 0 && !(hasLevels && isInLevelTable(name))
  )
  const opening = {
    'clean close before': recovery.clean ? 'yes' : 'no',
    'commits replayed': recovery.replayedCommits,
    'torn bytes dropped': recovery.droppedBytes,
    took: formatDuration(recovery.durationMs)
  }
  return (
    `${style.strong(path)} ${style.faint(`(${backend})`)}\n${table(figures.map(statsRow))}` +
    levelsText(stats, style) +
    `${style.strong('opening')}\n${table(Object.entries(opening))}`
  )
}

/** The levels of an LSM tree as a table, with the ratios below; nothing for another backend. */
export function levelsText(stats: Stats, style: Style): string {
  const levels = levelsOf(stats)
  if (levels.length === 0) return ''
  const flushed = levels[0].writtenBytes
  const head = ['level', 'files', 'size', 'read amp', 'read', 'written', 'write amp']
  const shown = levels.filter(
    ({ level, files, writtenBytes }) => level === 0 || files > 0 || writtenBytes > 0
  )
  const rows = shown.map(({ level, files, bytes, readBytes, writtenBytes }) => [
    String(level),
    formatNumber(files),
    formatBytes(bytes),
    formatNumber(visitsOf({ level, files, bytes, readBytes, writtenBytes })),
    formatBytes(readBytes),
    formatBytes(writtenBytes),
    times(ratio(writtenBytes, flushed))
  ])
  const sum = (of: (level: LevelFigures) => number): number =>
    levels.reduce((total, level) => total + of(level), 0)
  const { readAmplification = 0, writeAmplification, ...rates } = ratiosOf(stats)
  rows.push([
    'all',
    formatNumber(sum(({ files }) => files)),
    formatBytes(sum(({ bytes }) => bytes)),
    formatNumber(readAmplification),
    formatBytes(sum(({ readBytes }) => readBytes)),
    formatBytes(sum(({ writtenBytes }) => writtenBytes)),
    times(writeAmplification)
  ])
  const { stalls = 0, stallMs = 0, slowdowns = 0, slowdownMs = 0 } = stats
  const since: [string, string][] = [
    ['cache hits', percent(rates.cacheHitRate)],
    ['lookups spared by filters', percent(rates.filterSpared)],
    ['absent keys that filters let through', percent(rates.filterFalseRate)],
    ['writes slowed down', `${plural(slowdowns, 'time')}, ${formatDuration(slowdownMs)}`],
    ['writes stopped', `${plural(stalls, 'time')}, ${formatDuration(stallMs)}`]
  ]
  return (
    `${style.strong('levels')}\n${rightAligned([head, ...rows])}` +
    `${style.strong('since opening')}\n${table(since)}`
  )
}

/** Figures that the levels and the ratios are made of. */
function isInLevelTable(name: string): boolean {
  return levelPattern.test(name) || ratioNames.includes(name)
}

const ratioNames: readonly string[] = [
  'cacheHits',
  'cacheMisses',
  'filterChecks',
  'filterUseful',
  'filterFalse',
  'slowdowns',
  'slowdownMs',
  'stalls',
  'stallMs'
]

function rightAligned(rows: readonly (readonly string[])[]): string {
  const widths = rows[0].map((_, i) => Math.max(...rows.map((row) => row[i].length)))
  return rows
    .map((row) => `  ${row.map((cell, i) => cell.padStart(widths[i])).join('  ')}\n`)
    .join('')
}

function times(factor: number | undefined): string {
  return factor === undefined ? '–' : `${formatNumber(factor)} ×`
}

function percent(share: number | undefined): string {
  return share === undefined ? '–' : `${formatNumber(share * 100)} %`
}

/** `fileBytes: 8192` as "file" and "8.0 KiB"; other figures as they are, in words. */
function statsRow([name, value]: [string, number]): [string, string | number] {
  const words = name.replace(/([A-Z])/g, (letter) => ` ${letter.toLowerCase()}`)
  return /(^b|B)ytes/.test(name) ? [words, formatBytes(value)] : [words, value]
}
