import { Worker } from 'node:worker_threads'
import { KintsugiError } from '../../../errors.js'
import type { VfsSpec } from '../../../vfs/vfs.js'
import type { Job, JobResult } from './job.js'
import { aborted } from './job-control.js'
import { errorOf } from './job-error.js'
import type { JobRunner, RunOptions } from './job-runner.js'
import type { RateLimiter } from './rate-limiter.js'
import { withOwnKeys } from './worker-message.js'
import type { JobAnswer, JobRequest, WorkerStart } from './worker-message.js'

const ownEntry = new URL('./worker.js', import.meta.url)

/**
 * Runs jobs in worker threads, so that the event loop never merges. A thread takes one job at a
 * time; threads are started when they are needed, kept for the next job, and replaced when they die.
 */
export class WorkerRunner implements JobRunner {
  readonly #entry: URL
  readonly #start: WorkerStart
  readonly #idle: JobThread[] = []
  readonly #threads = new Set<JobThread>()
  readonly #running = new Set<Promise<JobResult>>()
  #isClosed = false

  /** `entry` is for tests of what a thread may do wrong. */
  constructor(vfs: VfsSpec, limiter: RateLimiter, entry = ownEntry) {
    this.#entry = entry
    this.#start = { vfs, rate: limiter.memory }
  }

  prepare(): void {
    if (!this.#isClosed && this.#threads.size === 0) this.#idle.push(this.#startThread())
  }

  async run(job: Job, { abort, isAwaited }: RunOptions): Promise<JobResult> {
    if (this.#isClosed) throw aborted()
    const thread = this.#takeThread()
    const running = thread.run({ job: portable(job), abort: abort.memory }, isAwaited)
    this.#running.add(running)
    try {
      return await running
    } finally {
      this.#running.delete(running)
      if (thread.isAlive) this.#idle.push(thread)
      else this.#threads.delete(thread)
    }
  }

  async close(): Promise<void> {
    this.#isClosed = true
    // Whoever closes waits, so the process must not end meanwhile.
    for (const thread of this.#threads) thread.hold()
    await Promise.allSettled(this.#running)
    await Promise.all([...this.#threads].map((thread) => thread.end()))
    this.#threads.clear()
  }

  #takeThread(): JobThread {
    for (let thread = this.#idle.pop(); thread !== undefined; thread = this.#idle.pop()) {
      if (thread.isAlive) return thread
      this.#threads.delete(thread)
    }
    return this.#startThread()
  }

  #startThread(): JobThread {
    const thread = new JobThread(this.#entry, this.#start)
    this.#threads.add(thread)
    return thread
  }
}

/** One worker thread and the job it is at. */
class JobThread {
  isAlive = true
  readonly #worker: Worker
  #settle: ((answer: JobAnswer | Error) => void) | undefined
  #failure: Error | undefined

  constructor(entry: URL, start: WorkerStart) {
    // Flags of the main thread may be of no use to a worker, and would then keep it from starting.
    this.#worker = new Worker(entry, {
      workerData: start,
      execArgv: [],
      name: 'kintsugi-job'
    })
    this.#worker.unref()
    this.#worker.on('message', (answer: JobAnswer) => this.#finish(answer))
    this.#worker.on('messageerror', (error) => {
      this.#failure = error
      void this.#worker.terminate()
    })
    this.#worker.on('error', (error) => {
      this.#failure = error instanceof Error ? error : new Error(String(error))
    })
    this.#worker.on('exit', (exitCode) => this.#onExit(exitCode))
  }

  async run(request: JobRequest, isAwaited: boolean): Promise<JobResult> {
    const answered = new Promise<JobAnswer | Error>((resolve) => (this.#settle = resolve))
    if (this.isAlive) {
      if (isAwaited) this.#worker.ref()
      this.#worker.postMessage(request)
    } else {
      this.#onExit(0)
    }
    const answer = await answered
    if (answer instanceof Error) throw answer
    if ('error' in answer) throw errorOf(answer.error)
    return answer.result
  }

  /** Keeps the process alive while a job is under way. */
  hold(): void {
    if (this.#settle !== undefined) this.#worker.ref()
  }

  async end(): Promise<void> {
    if (this.isAlive) await this.#worker.terminate()
  }

  #finish(answer: JobAnswer | Error): void {
    this.#worker.unref()
    const settle = this.#settle
    this.#settle = undefined
    settle?.(answer)
  }

  #onExit(exitCode: number): void {
    this.isAlive = false
    const message = `the thread of a background job ended before the job did (exit code ${exitCode})`
    this.#finish(new KintsugiError('KINTSUGI_INTERNAL', message, {}, this.#failure))
  }
}

/** The job with keys that are no views of something larger. */
function portable(job: Job): Job {
  const common = {
    storeId: new Uint8Array(job.storeId),
    below: job.below.map(({ low, high }) => withOwnKeys({ low, high }))
  }
  if (job.kind === 'flush') return { ...job, ...common }
  const runs = job.runs.map((run) => run.map(withOwnKeys))
  return { ...job, ...common, runs, grandparents: job.grandparents.map(withOwnKeys) }
}
