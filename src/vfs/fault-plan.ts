import type { KintsugiError } from '../errors.js'
import { fileError } from './file-error.js'

/** Operations that faults are addressed by; opening with mode `create` is `create`. */
export type FaultOperation =
  | 'open'
  | 'create'
  | 'read'
  | 'write'
  | 'datasync'
  | 'allocate'
  | 'truncate'
  | 'close'
  | 'mkdir'
  | 'readdir'
  | 'stat'
  | 'rename'
  | 'link'
  | 'unlink'
  | 'rmdir'
  | 'syncDirectory'
  | 'lock'
  | 'freeBytes'

const readOnlyOperations = new Set<FaultOperation>([
  'open',
  'read',
  'close',
  'readdir',
  'stat',
  'lock',
  'freeBytes'
])

export type FaultErrno = 'EIO' | 'ENOSPC' | 'EDQUOT' | 'EMFILE' | 'EACCES' | 'EROFS' | 'ENOENT'

export type Fault =
  /**
   * The operation fails. With `afterEffect` it was carried out all the same. A failed sync drops
   * the unsynced pages where the file system below can simulate that.
   */
  | { readonly kind: 'error'; readonly errno: FaultErrno; readonly afterEffect?: boolean }
  /** Only the first bytes are written, then the write fails. */
  | { readonly kind: 'short-write'; readonly lengthBytes: number; readonly errno: FaultErrno }
  /** From this operation on nothing that needs space succeeds, until `freeDisk`. */
  | { readonly kind: 'disk-full' }
  /** One bit of what was read is wrong, counted from the first byte read, modulo its length. */
  | { readonly kind: 'bit-flip'; readonly bit: number }
  /** The asynchronous form takes this many more turns of the event loop before it starts. */
  | { readonly kind: 'delay'; readonly turns: number }

/** When a fault strikes. Plain data: can be printed, stored and posted to a worker. */
export interface FaultRule {
  /** `mutation`: everything that changes files, names or what is durable. */
  readonly operation: FaultOperation | 'mutation' | 'any'
  /** The path, with `*` for any characters; a rename matches with either path. Default: any. */
  readonly path?: string
  /** The first matching operation that it strikes, counted from 1. Default: 1. */
  readonly nth?: number
  /** How many matching operations it strikes from there on; 0: all of them. Default: 1. */
  readonly times?: number
  readonly fault: Fault
}

export type FaultPlan = readonly FaultRule[]

/** A fault that struck. */
export interface FiredFault {
  /** Position of its rule in the plan. */
  readonly rule: number
  readonly operation: FaultOperation
  readonly path: string
  /** Which of the operations that match the rule it was, counted from 1. */
  readonly occurrence: number
  readonly fault: Fault
}

/** Counts operations against a plan, and remembers what fired. */
export class FaultInjector {
  readonly plan: FaultPlan
  readonly fired: FiredFault[] = []
  /** Operations so far, and those of them that `mutation` matches: the range of `nth`. */
  operationCount = 0
  mutationCount = 0
  diskFull = false
  readonly #patterns: readonly (RegExp | undefined)[]
  readonly #matchCounts: number[]

  constructor(plan: FaultPlan) {
    this.plan = plan
    this.#patterns = plan.map((rule) => (rule.path === undefined ? undefined : glob(rule.path)))
    this.#matchCounts = plan.map(() => 0)
  }

  /** The fault that strikes this operation, if any; of several rules the first in the plan. */
  strike(operation: FaultOperation, paths: readonly string[]): Fault | undefined {
    const mutation = !readOnlyOperations.has(operation)
    this.operationCount++
    if (mutation) this.mutationCount++
    let struck: Fault | undefined
    for (let i = 0; i < this.plan.length; i++) {
      const rule = this.plan[i]!
      const pattern = this.#patterns[i]
      const kindMatches =
        rule.operation === operation ||
        rule.operation === 'any' ||
        (rule.operation === 'mutation' && mutation)
      if (!kindMatches || (pattern && !paths.some((path) => pattern.test(path)))) continue
      const occurrence = ++this.#matchCounts[i]!
      const nth = rule.nth ?? 1
      const times = rule.times ?? 1
      if (struck || occurrence < nth || (times > 0 && occurrence >= nth + times)) continue
      struck = rule.fault
      this.fired.push({ rule: i, operation, path: paths.join(' -> '), occurrence, fault: struck })
    }
    return struck
  }

  /** For failure messages: the plan, and what of it struck. */
  describe(): string {
    const fired = this.fired.map(
      ({ rule, operation, path, occurrence, fault }) =>
        `  rule ${rule}: ${JSON.stringify(fault)} on ${operation} ${path} (match ${occurrence})`
    )
    const struck = fired.length > 0 ? `struck:\n${fired.join('\n')}` : 'nothing struck'
    const disk = this.diskFull ? ', disk full' : ''
    return `fault plan ${JSON.stringify(this.plan)}, ${this.operationCount} operations${disk}, ${struck}`
  }
}

/** The error a fault stands for, told apart from a real one by its cause. */
export function injectedError(operation: string, path: string, errno: string): KintsugiError {
  return fileError(operation, path, errno, new Error(`injected ${errno}`))
}

function glob(pattern: string): RegExp {
  const parts = pattern.split('*').map((part) => part.replace(/[\\^$.|?+()[\]{}]/g, '\\$&'))
  return new RegExp(`^${parts.join('.*')}$`, 's')
}
