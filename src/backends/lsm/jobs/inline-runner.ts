import type { Clock } from '../../../base/clock.js'
import type { Checksum } from '../../../codec/checksum.js'
import { KintsugiError } from '../../../errors.js'
import type { Vfs } from '../../../vfs/vfs.js'
import type { Job, JobResult } from './job.js'
import { aborted, JobControl } from './job-control.js'
import { errorOf, plainErrorOf } from './job-error.js'
import type { JobRunner, RunOptions } from './job-runner.js'
import type { RateLimiter } from './rate-limiter.js'
import { runJob } from './run-job.js'

/**
 * Runs jobs in the thread of the store, in slices between which the event loop goes on: for file
 * systems that no other thread can reach.
 */
export class InlineRunner implements JobRunner {
  readonly #vfs: Vfs
  readonly #checksum: Checksum
  readonly #clock: Clock
  readonly #limiter: RateLimiter
  readonly #running = new Set<Promise<JobResult>>()
  #isClosed = false

  constructor(vfs: Vfs, checksum: Checksum, clock: Clock, limiter: RateLimiter) {
    this.#vfs = vfs
    this.#checksum = checksum
    this.#clock = clock
    this.#limiter = limiter
  }

  prepare(): void {
    // This thread runs already.
  }

  async run(job: Job, { abort }: RunOptions): Promise<JobResult> {
    if (this.#isClosed) throw aborted()
    const limiter = job.kind === 'compaction' ? this.#limiter : undefined
    const control = new JobControl(abort, limiter, this.#clock)
    const running = runJob({ vfs: this.#vfs, checksum: this.#checksum }, job, control)
    this.#running.add(running)
    try {
      return await running
    } catch (error) {
      throw error instanceof KintsugiError ? error : errorOf(plainErrorOf(error))
    } finally {
      this.#running.delete(running)
    }
  }

  async close(): Promise<void> {
    this.#isClosed = true
    await Promise.allSettled(this.#running)
  }
}
