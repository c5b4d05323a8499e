import type { SeededRandom } from '../../dist/base/random.js'
import type { Bytes, Encoding, IteratorOptions } from '../../dist/index.js'
import type { AwkwardBytes } from './awkward-bytes.js'

export type ScanStep =
  | { readonly kind: 'read'; readonly size: number; readonly maxBytes: number }
  | { readonly kind: 'readTogether'; readonly size: number; readonly count: number }
  | { readonly kind: 'seek'; readonly key: Bytes }
  | { readonly kind: 'turn' }
  | { readonly kind: 'closeWhileReading'; readonly size: number; readonly turns: boolean }

/** One iterator: what it reads, and how it is read. */
export interface ScanPlan {
  readonly selection: 'entries' | 'keys' | 'values'
  readonly options: Omit<IteratorOptions, 'signal'>
  /** A loop that waits for the disk, a loop that awaits, or `nextv` and `seek`. */
  readonly by: 'loop' | 'awaitingLoop' | readonly ScanStep[]
  /** So many entries a loop takes before it is left. */
  readonly most: number
}

export const wholeStore = (options: ScanPlan['options'] = {}): ScanPlan => ({
  selection: 'entries',
  options,
  by: 'awaitingLoop',
  most: Infinity
})

const sizes = [1, 2, 3, 7, 16, 17, 33, 100, 1000, Infinity]

export function scanPlan(random: SeededRandom, bytes: AwkwardBytes): ScanPlan {
  const ways = ['loop', 'awaitingLoop', 'steps', 'steps', 'steps'] as const
  const by = random.pick(ways)
  return {
    selection: random.pick(['entries', 'entries', 'keys', 'values']),
    options: scanOptions(random, bytes),
    by: by === 'steps' ? scanSteps(random, bytes) : by,
    most: random.chance(1, 2) ? 1 + random.below(40) : Infinity
  }
}

function scanOptions(random: SeededRandom, bytes: AwkwardBytes): ScanPlan['options'] {
  const options: Record<string, unknown> = {}
  const encodings: readonly Encoding[] = ['utf8', 'buffer']
  if (random.chance(1, 2)) options['reverse'] = random.chance(1, 2)
  if (random.chance(2, 5)) options['limit'] = random.pick([-1, 0, 1, 2, 5, 20, 33, 100])
  if (random.chance(4, 5)) options['keyEncoding'] = random.pick(encodings)
  if (random.chance(4, 5)) options['valueEncoding'] = random.pick(encodings)
  return { ...options, ...randomRange(random, bytes, 4) }
}

/** Each bound with a chance of one in `oneIn`. */
export function randomRange(random: SeededRandom, bytes: AwkwardBytes, oneIn: number) {
  const range: Partial<Record<'gt' | 'gte' | 'lt' | 'lte', Bytes>> = {}
  for (const name of ['gt', 'gte', 'lt', 'lte'] as const) {
    if (random.chance(1, oneIn)) range[name] = bytes.key()
  }
  return range
}

function scanSteps(random: SeededRandom, bytes: AwkwardBytes): ScanStep[] {
  const steps: ScanStep[] = []
  for (let left = 1 + random.below(12); left > 0; left--) {
    const dice = random.below(100)
    if (dice < 28) steps.push({ kind: 'seek', key: bytes.key() })
    else if (dice < 36) steps.push({ kind: 'turn' })
    else if (dice < 44) {
      const count = 2 + random.below(3)
      steps.push({ kind: 'readTogether', size: 1 + random.below(40), count })
    } else if (dice < 97) {
      const maxBytes = random.chance(1, 4) ? random.pick([0, 1, 10, 100, 1000, 70_000]) : Infinity
      steps.push({ kind: 'read', size: random.pick(sizes), maxBytes })
    } else {
      const size = 1 + random.below(100)
      steps.push({ kind: 'closeWhileReading', size, turns: random.chance(1, 3) })
      break
    }
  }
  return steps
}
