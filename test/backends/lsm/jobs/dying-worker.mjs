import { parentPort } from 'node:worker_threads'

/** Ends in the way that the job's level says, or answers nonsense-free at level 3. */
parentPort.on('message', ({ job }) => {
  if (job.level === 0) process.exit(7)
  if (job.level === 1) setImmediate(() => null.property)
  if (job.level === 2) void Promise.reject(new Error('nobody caught it'))
  if (job.level === 3) {
    const result = { outputs: [], bytesRead: 3, bytesWritten: 0, entriesRead: 0, entriesWritten: 0 }
    parentPort.postMessage({ result })
  }
})
