import { mix, SeededRandom } from '../../dist/base/random.js'
import type { MemOperation } from '../../dist/vfs/mem-operation.js'
import { MicrotaskScheduler, type MemScheduler } from '../../dist/vfs/mem-scheduler.js'
import { MemVfs, type MemVfsOptions } from '../../dist/vfs/mem-vfs.js'

/**
 * Runs a history against a file system in memory and, between any two of its I/O operations, turns
 * the power off many times: each time another state that the cut may leave is handed to a check,
 * which reopens whatever lives there and compares it with what had been acknowledged at that time.
 * The check's own recovery can be interrupted in the same way, to any depth.
 *
 * A state has an address such as `45:r2/7:n`: the power cut before operation 45 of the history with
 * random fate 2, then one before operation 7 of the recovery with nothing unsynced kept. With the
 * same history, options and seed, `only: '45:r2/7:n'` tries just that one again.
 */

/** `n`: nothing unsynced survives; `e`: everything; `k`: the process died, the machine did not. */
export type FixedFate = 'n' | 'e' | 'k'

export interface ExplorerOptions<Fact> {
  readonly seed: number
  readonly history: (context: HistoryContext<Fact>) => Promise<void>
  /** Rejects when the state is wrong. May do anything to `clone`. */
  readonly check: (clone: MemVfs, context: CheckContext<Fact>) => Promise<void>
  /** Options of the file system the history runs on. */
  readonly vfs?: Omit<MemVfsOptions, 'scheduler'>
  /** How the history's operations settle. Default: in order. */
  readonly scheduler?: (random: SeededRandom) => MemScheduler
  /** Crash before every n-th operation only; which ones depends on the seed. Default: 1. */
  readonly everyNth?: number
  readonly fixedFates?: readonly FixedFate[]
  /** Random states for each moment, beside the fixed ones. Default: 2. */
  readonly randomFates?: number
  /** How often a check may itself be interrupted in a row. Default: 0. */
  readonly depth?: number
  /** The same as above, for interrupted checks. */
  readonly nested?: {
    readonly everyNth?: number
    readonly fixedFates?: readonly FixedFate[]
    readonly randomFates?: number
  }
  /** States that may wait before the history is held up until they are checked. Default: 200. */
  readonly maxQueued?: number
  /** A check that takes longer counts as hanging; a stopped process does not. Default: 20 s. */
  readonly checkTimeoutMs?: number
  /** The address of the one state to try. */
  readonly only?: string
}

export interface HistoryContext<Fact> {
  readonly vfs: MemVfs
  /** Says that this may be there from now on. */
  readonly attempt: (fact: Fact) => void
  /** Says that this was promised to survive. */
  readonly acknowledge: (fact: Fact) => void
  /** Names what comes next, for failure messages, and has all waiting states checked first. */
  readonly step: (label: string) => Promise<void>
}

export interface CheckContext<Fact> {
  readonly address: string
  readonly acknowledged: readonly Fact[]
  readonly attempted: readonly Fact[]
  /** What the history was doing. */
  readonly label: string
  /** The history's operation that did not happen any more; undefined at its end. */
  readonly nextOperation: MemOperation | undefined
  /** 0 for a crash of the history, 1 for a crash of its recovery, and so on. */
  readonly depth: number
  readonly seed: number
  /** Ends interruptions: call it when what follows is no longer recovery but changes of its own. */
  readonly recovered: () => void
}

export interface ExplorerReport {
  /** Moments of the history at which the power was cut. */
  readonly moments: number
  readonly operations: number
  /** States checked, by depth. */
  readonly statesByDepth: readonly number[]
  readonly states: number
}

const timeoutStepMs = 500

/** A state the check did not accept. */
export class CrashFailure extends Error {
  override readonly name = 'CrashFailure'

  constructor(
    readonly address: string,
    readonly seed: number,
    message: string,
    cause: unknown
  ) {
    super(message, { cause })
  }
}

export async function exploreCrashes<Fact>(
  options: ExplorerOptions<Fact>
): Promise<ExplorerReport> {
  return new CrashExplorer(options).run()
}

interface State<Fact> {
  readonly clone: MemVfs
  readonly address: string
  readonly depth: number
  readonly label: string
  readonly nextOperation: MemOperation | undefined
  readonly acknowledged: readonly Fact[]
  readonly attempted: readonly Fact[]
}

class CrashExplorer<Fact> {
  readonly #options: ExplorerOptions<Fact>
  readonly #vfs: MemVfs
  readonly #acknowledged: Fact[] = []
  readonly #attempted: Fact[] = []
  #label = 'start'
  #queue: State<Fact>[] = []
  #draining: Promise<void> | undefined
  #failure: CrashFailure | undefined
  #moments = 0
  readonly #statesByDepth: number[] = []

  constructor(options: ExplorerOptions<Fact>) {
    this.#options = options
    const scheduler =
      options.scheduler?.(new SeededRandom(options.seed)) ?? new MicrotaskScheduler()
    this.#vfs = new MemVfs({
      ...options.vfs,
      scheduler: new HeldUpScheduler(scheduler, () => this.#holdUp())
    })
  }

  async run(): Promise<ExplorerReport> {
    const stop = this.#vfs.onBeforeOperation((operation) => this.#crashHistory(operation))
    try {
      await this.#options.history({
        vfs: this.#vfs,
        attempt: (fact) => void this.#attempted.push(fact),
        acknowledge: (fact) => void this.#acknowledged.push(fact),
        step: async (label) => {
          await this.#drain()
          this.#label = label
        }
      })
    } catch (error) {
      // A failed state explains more than a history that stumbled over it.
      await this.#drain()
      throw error
    } finally {
      stop()
    }
    this.#label = 'end'
    this.#crashHistory(undefined)
    await this.#drain()
    return {
      moments: this.#moments,
      operations: this.#vfs.operationCount,
      statesByDepth: this.#statesByDepth,
      states: this.#statesByDepth.reduce((sum, count) => sum + count, 0)
    }
  }

  #crashHistory(nextOperation: MemOperation | undefined): void {
    const { everyNth = 1, seed } = this.#options
    const moment = nextOperation?.index ?? this.#vfs.operationCount
    if (nextOperation && !this.#isDue(moment, everyNth, seed)) return
    this.#moments++
    const facts = {
      acknowledged: this.#acknowledged.slice(),
      attempted: this.#attempted.slice(),
      label: this.#label,
      nextOperation
    }
    this.#queue.push(...this.#statesAt(this.#vfs, `${moment}`, 0, facts, this.#options))
  }

  /** The states that a crash at one moment is made into. */
  #statesAt(
    vfs: MemVfs,
    moment: string,
    depth: number,
    facts: Omit<State<Fact>, 'clone' | 'address' | 'depth'>,
    { fixedFates = ['n', 'e'], randomFates = 2 }: NonNullable<ExplorerOptions<Fact>['nested']>
  ): State<Fact>[] {
    const { only } = this.#options
    const fates: string[] = [...fixedFates]
    for (let i = 0; i < randomFates; i++) fates.push(`r${i}`)
    const states: State<Fact>[] = []
    for (const fate of fates) {
      const address = `${moment}:${fate}`
      if (only !== undefined && only !== address && !only.startsWith(`${address}/`)) continue
      states.push({ ...facts, clone: this.#clone(vfs, fate, address), address, depth })
    }
    return states
  }

  #clone(vfs: MemVfs, fate: string, address: string): MemVfs {
    // Clones run on their own: what the check does must not be held up by other checks.
    if (fate === 'n') return vfs.crashClone('nothing')
    if (fate === 'e') return vfs.crashClone('everything')
    if (fate === 'k') return vfs.killClone()
    let seed = this.#options.seed
    for (let i = 0; i < address.length; i++) seed = mix(seed ^ address.charCodeAt(i))
    return vfs.crashClone(new SeededRandom(seed))
  }

  #isDue(index: number, everyNth: number, seed: number): boolean {
    if (this.#options.only !== undefined || everyNth <= 1) return true
    return index % everyNth === (mix(seed) >>> 0) % everyNth
  }

  /** Never fails: a bad state must not look like a failed operation to the history. */
  async #holdUp(): Promise<void> {
    if (this.#failure || this.#queue.length < (this.#options.maxQueued ?? 200)) return
    try {
      await this.#drain()
    } catch {
      // Kept in `#failure`; the next step of the history, or its end, reports it.
    }
  }

  /** Checks all waiting states; rejects with the first failure, now and ever after. */
  async #drain(): Promise<void> {
    this.#draining ??= this.#drainQueue().finally(() => {
      this.#draining = undefined
    })
    await this.#draining
  }

  async #drainQueue(): Promise<void> {
    while (this.#queue.length > 0 && !this.#failure) {
      const waiting = this.#queue
      this.#queue = []
      // The last state first, so that interrupted recoveries do not pile up.
      waiting.reverse()
      for (let state = waiting.pop(); state && !this.#failure; state = waiting.pop()) {
        waiting.push(...(await this.#checkState(state)))
      }
    }
    if (this.#failure) throw this.#failure
  }

  /** Runs the check on one state; returns the states its interruption leads to. */
  async #checkState(state: State<Fact>): Promise<State<Fact>[]> {
    const { clone, depth, address } = state
    this.#statesByDepth[depth] = (this.#statesByDepth[depth] ?? 0) + 1
    const interrupted: State<Fact>[] = []
    const nested = this.#options.nested ?? {}
    const crash = (moment: number) => {
      if (!this.#isDue(moment, nested.everyNth ?? 1, this.#options.seed ^ address.length)) return
      interrupted.push(...this.#statesAt(clone, `${address}/${moment}`, depth + 1, state, nested))
    }
    const observed = depth < (this.#options.depth ?? 0)
    const stop = observed ? clone.onBeforeOperation(({ index }) => crash(index)) : () => undefined
    let recovering = observed
    const recovered = () => {
      if (!recovering) return
      recovering = false
      stop()
      crash(clone.operationCount)
    }
    try {
      const { label, nextOperation, acknowledged, attempted } = state
      const { seed } = this.#options
      const context = { address, label, nextOperation, acknowledged, attempted, depth, seed }
      await this.#inTime(this.#options.check(clone, { ...context, recovered }))
      recovered()
    } catch (error) {
      stop()
      this.#failure ??= this.#failureAt(state, error)
    }
    return interrupted
  }

  async #inTime(check: Promise<void>): Promise<void> {
    const { checkTimeoutMs = 20_000 } = this.#options
    let timer: ReturnType<typeof setInterval> | undefined
    const late = new Promise<never>((_resolve, reject) => {
      // Counted in small steps, so that a stopped process or machine does not look like a hang.
      let leftMs = checkTimeoutMs
      timer = setInterval(() => {
        leftMs -= timeoutStepMs
        if (leftMs > 0) return
        reject(new Error(`the check did not settle within ${checkTimeoutMs} ms`))
      }, timeoutStepMs)
    })
    try {
      await Promise.race([check, late])
    } finally {
      clearInterval(timer)
    }
  }

  #failureAt(state: State<Fact>, error: unknown): CrashFailure {
    const { seed } = this.#options
    const { address, label, nextOperation, clone } = state
    const where = nextOperation
      ? `before operation ${nextOperation.index} (${nextOperation.kind} ${nextOperation.path})`
      : 'at the end'
    const files = clone.medium
      .paths()
      .map((path) => `  ${path} ${clone.statSync(path)?.sizeBytes} bytes`)
    const lines = [
      error instanceof Error ? error.message : String(error),
      `in the state after a power cut ${where} of the history, step "${label}", ` +
        `${state.acknowledged.length} of ${state.attempted.length} facts acknowledged`,
      `reproduce: exploreCrashes({ …same, seed: ${seed}, only: '${address}' })`,
      'files when the check failed:',
      ...files
    ]
    return new CrashFailure(address, seed, lines.join('\n'), error)
  }
}

/** Lets every operation settle only after a pause that the explorer may need. */
class HeldUpScheduler implements MemScheduler {
  readonly #inner: MemScheduler
  readonly #holdUp: () => Promise<void>

  constructor(inner: MemScheduler, holdUp: () => Promise<void>) {
    this.#inner = inner
    this.#holdUp = holdUp
  }

  async run<T>(effect: () => T): Promise<T> {
    const result = await this.#inner.run(effect)
    await this.#holdUp()
    return result
  }
}
