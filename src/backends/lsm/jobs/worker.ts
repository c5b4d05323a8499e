import { parentPort, workerData } from 'node:worker_threads'
import { systemClock } from '../../../base/clock.js'
import { Checksum } from '../../../codec/checksum.js'
import { vfsOf } from '../../../vfs/vfs-of.js'
import { JobAbort, JobControl } from './job-control.js'
import { plainErrorOf } from './job-error.js'
import { RateLimiter } from './rate-limiter.js'
import { runJob } from './run-job.js'
import { withOwnKeys } from './worker-message.js'
import type { JobAnswer, JobRequest, WorkerStart } from './worker-message.js'

/** The entry of a worker thread: reached by its URL only, takes one job at a time. */

const { vfs: spec, rate } = workerData as WorkerStart
const limiter = new RateLimiter(0, systemClock, rate)
const vfs = vfsOf(spec)
const checksum = Checksum.create()

async function answerTo({ job, abort }: JobRequest): Promise<JobAnswer> {
  try {
    const isLimited = job.kind === 'compaction'
    const control = new JobControl(new JobAbort(abort), isLimited ? limiter : undefined)
    const result = await runJob({ vfs, checksum: await checksum }, job, control)
    return { result: { ...result, outputs: result.outputs.map(withOwnKeys) } }
  } catch (error) {
    return { error: plainErrorOf(error) }
  }
}

parentPort!.on('message', (request: JobRequest) => {
  void answerTo(request).then((answer) => parentPort!.postMessage(answer))
})
