import { KintsugiError } from './errors.js'

/** Sizes the engine never exceeds; beyond them nothing is written and a typed error says so. */
export const limits = {
  keyBytes: 65_535,
  valueBytes: 2 ** 30,
  batchBytes: 2 ** 31 - 2 ** 20
} as const

/** Values of `Durability`, strongest first. */
export const durabilities = ['sync', 'os', 'memory'] as const

/**
 * When a write is acknowledged. `sync`: after fdatasync, so it survives power loss. `os`: after the
 * operating system has it, so it survives a crash of the process. `memory`: at once; flushed within
 * `flushIntervalMs` or `flushBytes`. Weaker modes may lose a suffix, never the middle, never half a
 * batch.
 */
export type Durability = (typeof durabilities)[number]

/**
 * What opening does when the log is damaged; names as RocksDB's users know them.
 * `tolerate-torn-tail`: an unfinished write at the very end is dropped and reported, damage in
 * synced data is an error. `absolute`: any damage is an error. `point-in-time`: stop at the first
 * damage and keep the prefix. `skip-any`: leave out what is damaged; last resort.
 */
export type WalRecoveryMode = 'tolerate-torn-tail' | 'absolute' | 'point-in-time' | 'skip-any'

/** How a store takes and returns keys or values. Input may be bytes or a string in any case. */
export type Encoding = 'buffer' | 'utf8'

/**
 * A set of defaults. `low-memory` asks for little memory, at the cost of speed; `safe-mode` does
 * nothing in the background that nobody asked for, and keeps memory in bounds: for a machine in
 * trouble. Options that are given win over it.
 */
export type ProfileName = 'default' | 'low-memory' | 'safe-mode'

/** How a block is stored. */
export type CompressionName = 'lz4' | 'none'

const compressionNames: readonly CompressionName[] = ['lz4', 'none']

/** Options with one plain value each. Every one is optional; the table below has the defaults. */
export interface StoreOptions {
  /** Where the defaults of the other options come from. Default `default`. */
  profile?: ProfileName
  /** Create the store where there is none. Default true. */
  createIfMissing?: boolean
  /** Fail where there is a store already. Default false. */
  errorIfExists?: boolean
  /** Write nothing, not even recovery; shares the lock with other readers. Default false. */
  readOnly?: boolean
  /** Durability of writes that do not say their own. Default `sync`. */
  durability?: Durability
  /** Encoding of returned keys. Default `buffer`. */
  keyEncoding?: Encoding
  /** Encoding of returned values. Default `buffer`. */
  valueEncoding?: Encoding
  /** Longest time a `memory` write waits before it is handed to the disk. Default 100 ms. */
  flushIntervalMs?: number
  /** Most bytes of `memory` writes that wait. Default 1 MiB. */
  flushBytes?: number
  /** Most bytes of commits not yet synced before further ones wait. Default 128 MiB. */
  maxPendingBytes?: number
  /** Size of a log segment. Default 16 MiB, from 4 KiB. */
  walSegmentBytes?: number
  /** What to do when the log is damaged. Default `tolerate-torn-tail`. */
  walRecoveryMode?: WalRecoveryMode
  /**
   * Budget for pages, blocks and large values kept in memory. Default 256 MiB, from 1 MiB. Level:
   * three quarters for LevelDB's block cache, the rest for small values that were read.
   */
  cacheBytes?: number
  /** Changed bytes in memory that start a background persist. Default 256 MiB. */
  persistDirtyBytes?: number
  /** Bytes of log since the last persist that start one. Default 128 MiB. */
  persistWalBytes?: number
  /** Longest time without a persist while there are changes. Default 60,000 ms. */
  persistIntervalMs?: number
  /** Size of a B+ tree page; fixed when the store is created. Default 8 KiB, a power of two. */
  pageBytes?: number
  /**
   * LSM and Level: size of the memtable that takes writes; full, it becomes tables, or is written to
   * LevelDB. Default 64 MiB.
   */
  memtableBytes?: number
  /** LSM: number of levels, the first included. Default 7, from 2 to 12. */
  maxLevels?: number
  /** LSM: how many times larger than the one above a level may be. Default 10. */
  levelSizeMultiplier?: number
  /** LSM: so many tables in level 0 start a compaction. Default 4. */
  compactionThreshold?: number
  /**
   * LSM: size of a block of a table in memory; fixed when the store is created. Level: that of
   * LevelDB's new tables. Default 8 KiB.
   */
  blockBytes?: number
  /**
   * LSM: how blocks of new tables are stored, for all levels or level by level; levels beyond the
   * end of the list are like its last. Level: the last one decides whether LevelDB compresses, which
   * it does by Snappy. Default `lz4`.
   */
  compression?: CompressionName | readonly CompressionName[]
  /**
   * LSM: compactions at the same time. 0: none starts by itself, only what `compact` asks for, and
   * writes are not delayed for want of one; flushes go on. Default 1.
   */
  maxBackgroundJobs?: number
  /** LSM: most bytes that compactions write in a second; 0: no limit. Default 0. */
  rateLimitBytesPerSecond?: number
}

export type ResolvedOptions = Required<StoreOptions>

interface Rule {
  readonly default: unknown
  /** What is allowed, for the error message. */
  readonly allowed: string
  readonly check: (value: unknown) => boolean
}

const flag = (value: boolean): Rule => ({
  default: value,
  allowed: 'true or false',
  check: (given) => typeof given === 'boolean'
})

const whole = (value: number, min: number, max: number, unit: string): Rule => ({
  default: value,
  allowed: `a whole number of ${unit} from ${min} to ${max}`,
  check: (given) =>
    Number.isSafeInteger(given) && (given as number) >= min && (given as number) <= max
})

const choice = (values: readonly string[]): Rule => ({
  default: values[0],
  allowed: values.map((value) => `'${value}'`).join(', '),
  check: (given) => values.includes(given as string)
})

const KiB = 1024
const MiB = 1024 * KiB
const GiB = 1024 * MiB

/** What a profile has for a default; a store that is there keeps the format it was made with. */
const profiles: Readonly<Record<ProfileName, StoreOptions>> = {
  default: {},
  'low-memory': {
    pageBytes: 4 * KiB,
    flushBytes: 64 * KiB,
    maxPendingBytes: 8 * MiB,
    cacheBytes: 64 * MiB,
    // What changes in memory is to a B+ tree what the memtable is to an LSM tree.
    persistDirtyBytes: 16 * MiB,
    memtableBytes: 16 * MiB,
    maxLevels: 5,
    levelSizeMultiplier: 8,
    compactionThreshold: 2
  },
  'safe-mode': {
    maxPendingBytes: 32 * MiB,
    cacheBytes: 128 * MiB,
    compression: 'lz4',
    maxBackgroundJobs: 0
  }
}

export const profileNames = Object.keys(profiles) as ProfileName[]

const rules: { readonly [Name in keyof ResolvedOptions]: Rule } = {
  profile: choice(profileNames),
  createIfMissing: flag(true),
  errorIfExists: flag(false),
  readOnly: flag(false),
  durability: choice(durabilities),
  keyEncoding: choice(['buffer', 'utf8']),
  valueEncoding: choice(['buffer', 'utf8']),
  flushIntervalMs: whole(100, 1, 3_600_000, 'milliseconds'),
  flushBytes: whole(MiB, 1, GiB, 'bytes'),
  maxPendingBytes: whole(128 * MiB, 64 * KiB, 4 * GiB, 'bytes'),
  walSegmentBytes: whole(16 * MiB, 4 * KiB, GiB, 'bytes'),
  walRecoveryMode: choice(['tolerate-torn-tail', 'absolute', 'point-in-time', 'skip-any']),
  cacheBytes: whole(256 * MiB, MiB, 1024 * GiB, 'bytes'),
  persistDirtyBytes: whole(256 * MiB, 64 * KiB, 16 * GiB, 'bytes'),
  persistWalBytes: whole(128 * MiB, 64 * KiB, 64 * GiB, 'bytes'),
  persistIntervalMs: whole(60_000, 100, 2 ** 31 - 1, 'milliseconds'),
  pageBytes: {
    default: 8 * KiB,
    allowed: 'a power of two from 4096 to 65536',
    check: (given) => [4, 8, 16, 32, 64].some((size) => given === size * KiB)
  },
  memtableBytes: whole(64 * MiB, 16 * KiB, GiB, 'bytes'),
  maxLevels: whole(7, 2, 12, 'levels'),
  levelSizeMultiplier: whole(10, 2, 100, 'times'),
  compactionThreshold: whole(4, 1, 64, 'tables'),
  blockBytes: {
    default: 8 * KiB,
    allowed: 'a power of two from 1024 to 32768',
    check: (given) => [1, 2, 4, 8, 16, 32].some((size) => given === size * KiB)
  },
  compression: {
    default: 'lz4',
    allowed: "'lz4', 'none' or a list of these, one for each level",
    check: (given) =>
      (Array.isArray(given) ? given.length > 0 && given.length <= 12 : true) &&
      [given].flat().every((name) => compressionNames.includes(name as CompressionName))
  },
  maxBackgroundJobs: whole(1, 0, 8, 'jobs'),
  rateLimitBytesPerSecond: whole(0, 0, 64 * GiB, 'bytes')
}

export const optionNames = Object.keys(rules) as (keyof ResolvedOptions)[]

/** Checks every given option and fills in profile and defaults; `undefined` counts as not given. */
export function resolveOptions(given: StoreOptions): ResolvedOptions {
  checkOptionNames(given, optionNames)
  for (const name of optionNames) {
    const value = given[name]
    const rule = rules[name]
    if (value !== undefined && !rule.check(value)) {
      throw invalidOption(name, `${describe(value)} was given, allowed is ${rule.allowed}`)
    }
  }
  const profile = profiles[given.profile ?? 'default']
  const resolved: Record<string, unknown> = {}
  for (const name of optionNames) {
    resolved[name] = given[name] ?? profile[name] ?? rules[name].default
  }
  return resolved as unknown as ResolvedOptions
}

/** An unknown name is an error that proposes the nearest known one, or lists them all. */
export function checkOptionNames(given: unknown, known: readonly string[]): void {
  if (typeof given !== 'object' || given === null || Array.isArray(given)) {
    throw new KintsugiError(
      'KINTSUGI_INVALID_ARGUMENT',
      `options must be an object, ${describe(given)} was given`
    )
  }
  for (const name in given) {
    if (known.includes(name) || !Object.hasOwn(given, name)) continue
    const near = nearest(name, known)
    const hint = near ? `did you mean '${near}'?` : `known are ${known.join(', ')}`
    throw invalidOption(name, `unknown option; ${hint}`)
  }
}

export function invalidOption(name: string, what: string): KintsugiError {
  return new KintsugiError('KINTSUGI_INVALID_OPTION', `option '${name}': ${what}`, { option: name })
}

/** A value as an error message shows it. */
export function describe(value: unknown): string {
  if (typeof value === 'string') return JSON.stringify(value.slice(0, 80))
  if (value === null || typeof value !== 'object') return String(value)
  return Array.isArray(value) ? 'an array' : `an object (${value.constructor?.name ?? 'no class'})`
}

function nearest(name: string, known: readonly string[]): string | undefined {
  let best: string | undefined
  let bestDistance = Math.max(2, Math.floor(name.length / 3)) + 1
  for (const candidate of known) {
    const distance = editDistance(name.toLowerCase(), candidate.toLowerCase())
    if (distance < bestDistance) [best, bestDistance] = [candidate, distance]
  }
  return best
}

/** Levenshtein distance, row by row. */
function editDistance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, index) => index)
  for (let i = 1; i <= a.length; i++) {
    const next = [i]
    for (let j = 1; j <= b.length; j++) {
      const substitution = row[j - 1] + (a[i - 1] === b[j - 1] ? 0 : 1)
      next.push(Math.min(substitution, row[j] + 1, next[j - 1] + 1))
    }
    row = next
  }
  return row[b.length]
}
