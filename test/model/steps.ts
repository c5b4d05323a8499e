import fc from 'fast-check'
import type { Durability } from '../../dist/index.js'
import type { KeyText, TextRange } from './reference.js'

/** A write as a history describes it; its value is made from a number, unique to each write. */
export type WriteStep =
  | { readonly type: 'put'; readonly key: KeyText; readonly valueBytes: number }
  | { readonly type: 'del'; readonly key: KeyText }
  | ({ readonly type: 'clear' } & TextRange)

export interface CommitStep {
  readonly kind: 'commit'
  readonly writes: readonly WriteStep[]
  readonly durability: Durability
  /** `await`: goes on when acknowledged; `leave`: goes on at once; `sync`: the blocking form. */
  readonly form: 'await' | 'leave' | 'sync'
}

/** How a crash looks: the power is cut or the process dies, at some I/O operation. */
export interface CrashStep {
  readonly kind: 'crash'
  /** Commits under way when it happens. */
  readonly burst: readonly CommitStep[]
  readonly persisting: boolean
  /** I/O operations of the burst that still happen. */
  readonly afterOperations: number
  /** `k`: the process dies. Otherwise the power: nothing, everything or a seeded part is kept. */
  readonly fate: 'n' | 'e' | 'k' | number
  /** Operations after which the recoveries that follow are interrupted in turn. */
  readonly recoveries: readonly number[]
}

export type Step =
  | CommitStep
  | CrashStep
  | { readonly kind: 'fill'; readonly first: number; readonly count: number; readonly size: number }
  | {
      readonly kind: 'transaction'
      readonly reads: readonly KeyText[]
      readonly range: TextRange
      readonly writes: readonly WriteStep[]
      /** Another commit in between that changes what was read, so that it has to run again. */
      readonly conflict: boolean
    }
  | { readonly kind: 'get'; readonly keys: readonly KeyText[] }
  | {
      readonly kind: 'iterate'
      readonly range: TextRange
      readonly reverse: boolean
      readonly limit: number
      readonly asynchronous: boolean
    }
  | { readonly kind: 'openIterator'; readonly range: TextRange; readonly reverse: boolean }
  | { readonly kind: 'advance'; readonly which: number; readonly count: number }
  | { readonly kind: 'snapshot' }
  | { readonly kind: 'readSnapshot'; readonly which: number }
  | { readonly kind: 'closeSnapshot'; readonly which: number }
  | { readonly kind: 'persist' | 'compact'; readonly form: 'await' | 'leave' }
  | { readonly kind: 'flush' | 'verify' | 'reopen' | 'settle' }
  | { readonly kind: 'tick'; readonly ms: number }

const shortKey = fc.nat({ max: 40 }).map((n) => `k${n}`)
const bytesKey = fc
  .uint8Array({ maxLength: 3 })
  .map((bytes) => Buffer.from(bytes).toString('latin1'))
const prefixedKey = fc.nat({ max: 60 }).map((n) => `${'prefix/'.repeat(20)}${n}`)
const longKey = fc
  .tuple(fc.nat({ max: 20 }), fc.constantFrom(900, 1500, 3000))
  .map(([n, length]) => `long${n}`.padEnd(length, `${n}`))
const hugeKey = fc.nat({ max: 2 }).map((n) => `huge${n}`.padEnd(65_535, 'h'))

const key = fc.oneof(
  { weight: 10, arbitrary: shortKey },
  { weight: 3, arbitrary: bytesKey },
  { weight: 4, arbitrary: prefixedKey },
  { weight: 2, arbitrary: longKey },
  { weight: 1, arbitrary: fc.nat({ max: 2000 }).map(fillKey) },
  { weight: 1, arbitrary: hugeKey }
)

const valueBytes = fc.oneof(
  { weight: 8, arbitrary: fc.nat({ max: 40 }) },
  { weight: 4, arbitrary: fc.constantFrom(100, 500, 1000, 1023, 1024, 1025) },
  { weight: 2, arbitrary: fc.constantFrom(2048, 4000, 4096, 5000, 9000) },
  { weight: 1, arbitrary: fc.constantFrom(20_000, 70_000) }
)

const range: fc.Arbitrary<TextRange> = fc
  .record({
    lower: fc.option(fc.tuple(fc.constantFrom('gt', 'gte'), key)),
    upper: fc.option(fc.tuple(fc.constantFrom('lt', 'lte'), key))
  })
  .map(({ lower, upper }) => ({
    ...(lower && { [lower[0]]: lower[1] }),
    ...(upper && { [upper[0]]: upper[1] })
  }))

const put = fc.record({ type: fc.constant('put' as const), key, valueBytes })
const del = fc.record({ type: fc.constant('del' as const), key })
const clear = range.map((bounds) => ({ type: 'clear' as const, ...bounds }))

const write: fc.Arbitrary<WriteStep> = fc.oneof(
  { weight: 12, arbitrary: put },
  { weight: 4, arbitrary: del },
  { weight: 1, arbitrary: clear }
)

const durability = fc.constantFrom<Durability>('sync', 'sync', 'sync', 'os', 'memory')

const commit: fc.Arbitrary<CommitStep> = fc.record({
  kind: fc.constant('commit' as const),
  writes: fc.oneof(
    { weight: 3, arbitrary: write.map((one) => [one]) },
    { weight: 2, arbitrary: fc.array(write, { minLength: 1, maxLength: 12 }) }
  ),
  durability,
  form: fc.constantFrom('await', 'await', 'leave', 'leave', 'sync')
})

const crash: fc.Arbitrary<CrashStep> = fc.record({
  kind: fc.constant('crash' as const),
  burst: fc.array(commit, { maxLength: 6 }),
  persisting: fc.boolean(),
  afterOperations: fc.nat({ max: 25 }),
  fate: fc.oneof(
    { weight: 2, arbitrary: fc.constantFrom('n' as const, 'e' as const, 'k' as const) },
    { weight: 3, arbitrary: fc.nat({ max: 1_000_000 }) }
  ),
  recoveries: fc.oneof(
    { weight: 2, arbitrary: fc.constant([]) },
    { weight: 1, arbitrary: fc.array(fc.nat({ max: 20 }), { minLength: 1, maxLength: 3 }) }
  )
})

const which = fc.nat({ max: 7 })
const form = fc.constantFrom('await' as const, 'leave' as const)
const kind = <const K extends string>(name: K) => fc.constant(name)

const step: fc.Arbitrary<Step> = fc.oneof(
  { weight: 30, arbitrary: commit },
  { weight: 4, arbitrary: crash },
  {
    weight: 2,
    arbitrary: fc.record({
      kind: kind('fill'),
      first: fc.nat({ max: 1500 }),
      count: fc.integer({ min: 20, max: 300 }),
      size: fc.constantFrom(10, 100, 900, 3000)
    })
  },
  {
    weight: 3,
    arbitrary: fc.record({
      kind: kind('transaction'),
      reads: fc.array(key, { maxLength: 3 }),
      range,
      writes: fc.array(write, { maxLength: 4 }),
      conflict: fc.boolean()
    })
  },
  { weight: 5, arbitrary: fc.record({ kind: kind('get'), keys: fc.array(key, { maxLength: 6 }) }) },
  {
    weight: 4,
    arbitrary: fc.record({
      kind: kind('iterate'),
      range,
      reverse: fc.boolean(),
      limit: fc.constantFrom(-1, -1, 0, 1, 5, 100),
      asynchronous: fc.boolean()
    })
  },
  {
    weight: 2,
    arbitrary: fc.record({ kind: kind('openIterator'), range, reverse: fc.boolean() })
  },
  {
    weight: 4,
    arbitrary: fc.record({ kind: kind('advance'), which, count: fc.integer({ min: 1, max: 40 }) })
  },
  { weight: 3, arbitrary: fc.record({ kind: kind('snapshot') }) },
  { weight: 3, arbitrary: fc.record({ kind: kind('readSnapshot'), which }) },
  { weight: 2, arbitrary: fc.record({ kind: kind('closeSnapshot'), which }) },
  { weight: 3, arbitrary: fc.record({ kind: kind('persist'), form }) },
  { weight: 1, arbitrary: fc.record({ kind: kind('compact'), form }) },
  {
    weight: 4,
    arbitrary: fc.record({ kind: fc.constantFrom('flush', 'verify', 'reopen', 'settle') })
  },
  {
    weight: 3,
    arbitrary: fc.record({ kind: kind('tick'), ms: fc.constantFrom(1, 11, 60, 200, 70_000) })
  }
)

export function fillKey(n: number): KeyText {
  return `fill/${String(n).padStart(6, '0')}`
}

/** Histories of up to that many steps. */
export function histories(maxSteps: number): fc.Arbitrary<Step[]> {
  return fc.array(step, { minLength: 1, maxLength: maxSteps, size: 'max' })
}
