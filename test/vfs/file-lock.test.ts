import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import fs from 'node:fs'
import { hostname, tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { Worker } from 'node:worker_threads'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { loadNativeBinding } from '../../dist/native-binding.js'
import { NodeVfs } from '../../dist/vfs/node-vfs.js'
import { failureSync } from './vfs-contract.js'

const holderScript = fileURLToPath(new URL('lock-holder.mjs', import.meta.url))
const dist = fileURLToPath(new URL('../../dist', import.meta.url))

let directory: string
let path: string
const processes: ChildProcess[] = []

beforeEach(() => {
  directory = fs.mkdtempSync(join(tmpdir(), 'kintsugi-lock-'))
  path = join(directory, 'LOCK')
})

afterEach(async () => {
  for (const child of processes.splice(0)) await end(child, 'SIGKILL')
  fs.rmSync(directory, { recursive: true })
})

type Kind = 'native' | 'javascript'

const kinds: Kind[] = loadNativeBinding() ? ['native', 'javascript'] : ['javascript']

const lockHere = (kind: Kind, exclusive = true) =>
  new NodeVfs({ native: kind === 'native' }).lockSync(path, { exclusive, now: 0 })

describe.each(kinds)('a %s lock', (kind) => {
  it('keeps another process out, names its owner, and is free after the release', async () => {
    const owner = await holder(kind)
    for (let attempt = 0; attempt < 3; attempt += 1) {
      const error = failureSync(() => lockHere(kind))
      expect(error.code).toBe('KINTSUGI_LOCKED')
      expect(error.retryable).toBe(true)
      const since = '1970-01-01T00:00:00.000Z'
      expect(error.facts.owner).toEqual({ pid: owner.said.pid, host: hostname(), since })
      expect(error.message).toMatch(`process ${owner.said.pid} on ${hostname()} since ${since}`)
    }
    await end(owner.process)
    const lock = lockHere(kind)
    expect(lock.previousOwner).toBeUndefined()
    lock.release()
  })

  it('is seen by another process when this one holds it', async () => {
    const lock = lockHere(kind)
    const refused = await holder(kind)
    expect(refused.said.error).toMatchObject({
      code: 'KINTSUGI_LOCKED',
      owner: { pid: process.pid, host: hostname() }
    })
    lock.release()
    expect((await holder(kind)).said.error).toBeUndefined()
  })

  it('is held against other threads of this process', async () => {
    const lock = lockHere(kind)
    expect(await lockInWorker(kind)).toBe('KINTSUGI_LOCKED')
    lock.release()
    expect(await lockInWorker(kind)).toBe('locked')
  })

  it('is held against a second copy of the package in this process', async () => {
    // Below a directory `dist`, like the original: loaded by Node itself.
    const copy = join(directory, 'dist')
    fs.cpSync(dist, copy, { recursive: true })
    fs.writeFileSync(join(directory, 'package.json'), '{"type":"module"}')
    const other = (await import(
      join(copy, 'vfs', 'node-vfs.js')
    )) as typeof import('../../dist/vfs/node-vfs.js')
    const lock = lockHere(kind)
    const error = failureSync(() =>
      new other.NodeVfs({ native: false }).lockSync(path, { exclusive: true, now: 0 })
    )
    expect(error.message).toMatch('it is open in this very process')
    lock.release()
  })

  it('survives that its own process opens, reads and closes the lock file', async () => {
    const lock = lockHere(kind)
    fs.readFileSync(path)
    fs.closeSync(fs.openSync(path, 'r+'))
    expect((await holder(kind)).said.error?.code).toBe('KINTSUGI_LOCKED')
    lock.release()
  })

  it('leaves the owner alone when it refuses: the record stays, release works', async () => {
    const owner = await holder(kind)
    const before = snapshotOfFiles()
    failureSync(() => lockHere(kind))
    failureSync(() => lockHere(kind, false))
    expect(snapshotOfFiles()).toEqual(before)
    await end(owner.process)
    expect(owner.process.exitCode).toBe(0)
  })

  it('needs no more space once its file is there', () => {
    lockHere(kind).release()
    const sizeBytes = fs.statSync(path).size
    const lock = lockHere(kind)
    expect(fs.statSync(path).size).toBe(sizeBytes)
    lock.release()
    expect(fs.statSync(path).size).toBe(sizeBytes)
  })
})

describe.runIf(kinds.includes('native'))('a native lock and crashes', () => {
  it('passes on when its owner is killed, and tells who that was', async () => {
    const owner = await holder('native')
    await end(owner.process, 'SIGKILL')
    const lock = lockHere('native')
    expect(lock.previousOwner).toMatchObject({
      pid: owner.said.pid,
      host: hostname(),
      since: '1970-01-01T00:00:00.000Z'
    })
    expect(lock.previousOwner?.bootId).toMatch(/^[0-9a-f-]{36}$/)
    lock.release()
    expect(lockAndRelease().previousOwner).toBeUndefined()
  })

  it('passes on though a program that the killed owner started still runs', async () => {
    const owner = await holder('native', 'exclusive', 'with-child')
    await end(owner.process, 'SIGKILL')
    try {
      expect(lockAndRelease().previousOwner?.pid).toBe(owner.said.pid)
      process.kill(owner.said.childPid!, 0)
    } finally {
      process.kill(owner.said.childPid!)
    }
  })

  it('passes on when the thread that held it is terminated', async () => {
    const worker = workerWith(
      `lock(); parentPort.postMessage('locked'); setInterval(() => {}, 1e3)`
    )
    expect((await once(worker, 'message'))[0]).toBe('locked')
    expect(failureSync(() => lockHere('native')).facts.owner?.pid).toBe(process.pid)
    await worker.terminate()
    expect(lockAndRelease().previousOwner?.pid).toBe(process.pid)
  })

  it.each(['{"pid":1', '\0'.repeat(512), '[]', 'null', '{"pid":-1}', '{"pid":1e99}', '"x"'])(
    'takes a damaged record %j for an unknown owner that crashed',
    (content) => {
      fs.writeFileSync(path, content)
      expect(lockAndRelease().previousOwner).toMatchObject({ host: 'unknown', since: 'unknown' })
    }
  )

  it('takes over from killed owners again and again, never two at a time', async () => {
    for (let round = 0; round < 10; round += 1) {
      const contenders = await Promise.all([holder('native'), holder('native')])
      const owners = contenders.filter(({ said }) => !said.error)
      expect(owners.length).toBe(1)
      await end(owners[0].process, 'SIGKILL')
    }
  }, 60_000)

  const lockAndRelease = () => {
    const lock = lockHere('native')
    lock.release()
    return lock
  }
})

describe.runIf(kinds.includes('native'))('shared native locks', () => {
  it('stand beside each other in several processes and keep writers out', async () => {
    const readers = [await holder('native', 'shared'), await holder('native', 'shared')]
    expect(readers.map(({ said }) => said.error)).toEqual([undefined, undefined])
    const error = failureSync(() => lockHere('native'))
    expect(error.code).toBe('KINTSUGI_LOCKED')
    expect(error.message).toMatch('close the read-only openers')
    expect(error.facts.owner).toBeUndefined()
    await end(readers[0].process)
    failureSync(() => lockHere('native'))
    await end(readers[1].process)
    lockHere('native').release()
  })

  it('do not take the record of a crashed owner for a reader, and leave it to the next owner', async () => {
    const owner = await holder('native')
    await end(owner.process, 'SIGKILL')
    const reader = await holder('native', 'shared')
    expect(reader.said.previousOwner?.pid).toBe(owner.said.pid)
    expect(failureSync(() => lockHere('native')).facts.owner).toBeUndefined()
    await end(reader.process)
    const lock = lockHere('native')
    expect(lock.previousOwner?.pid).toBe(owner.said.pid)
    lock.release()
  })
})

describe('a JavaScript lock and crashes', () => {
  it('is not taken over from a killed owner; the error says how to clear it', async () => {
    const owner = await holder('javascript')
    await end(owner.process, 'SIGKILL')
    const error = failureSync(() => lockHere('javascript'))
    expect(error.code).toBe('KINTSUGI_LOCKED')
    expect(error.facts.owner?.pid).toBe(owner.said.pid)
    expect(error.message).toMatch(`that process is gone, so delete ${path}.owner`)
    fs.unlinkSync(`${path}.owner`)
    lockHere('javascript').release()
  })

  it('lets one of many in at a time', async () => {
    const contenders = await Promise.all(Array.from({ length: 4 }, () => holder('javascript')))
    expect(contenders.filter(({ said }) => !said.error).length).toBe(1)
  })
})

describe.runIf(kinds.includes('native'))('the two kinds of lock', () => {
  it('a native owner keeps a JavaScript opener out, and nothing of it stays', async () => {
    const owner = await holder('native')
    const error = failureSync(() => lockHere('javascript'))
    expect(error.facts.owner?.pid).toBe(owner.said.pid)
    expect(fs.readdirSync(directory)).toEqual(['LOCK'])
    await end(owner.process)
    lockHere('javascript').release()
  })

  it('a JavaScript owner keeps native openers out, exclusive and shared', async () => {
    const owner = await holder('javascript')
    for (const exclusive of [true, false]) {
      const error = failureSync(() => lockHere('native', exclusive))
      expect(error.facts.owner?.pid).toBe(owner.said.pid)
    }
    await end(owner.process)
    const lock = lockHere('native')
    expect(lock.previousOwner).toBeUndefined()
    lock.release()
  })

  it('a native opener that gives way puts the record of a crashed owner back', async () => {
    const crashed = await holder('native')
    await end(crashed.process, 'SIGKILL')
    fs.writeFileSync(`${path}.owner`, '{}')
    expect(failureSync(() => lockHere('native')).code).toBe('KINTSUGI_LOCKED')
    fs.unlinkSync(`${path}.owner`)
    const lock = lockHere('native')
    expect(lock.previousOwner?.pid).toBe(crashed.said.pid)
    lock.release()
  })

  it('a JavaScript opener cannot tell a crashed native owner from a live one, and says so', async () => {
    const owner = await holder('native')
    await end(owner.process, 'SIGKILL')
    const error = failureSync(() => lockHere('javascript'))
    expect(error.code).toBe('KINTSUGI_LOCKED')
    expect(error.message).toMatch('or empty this file')
    fs.truncateSync(path)
    lockHere('javascript').release()
  })
})

interface Said {
  pid: number
  childPid?: number
  previousOwner?: { pid: number }
  error?: { code: string; owner?: { pid: number; host: string } }
}

/** A process that has tried to take the lock, and what it said about that. */
async function holder(kind: Kind, mode = 'exclusive', extra = '') {
  const child = spawn(process.execPath, [holderScript, path, kind, mode, extra], {
    stdio: ['pipe', 'pipe', 'inherit']
  })
  processes.push(child)
  const [line] = (await once(createInterface(child.stdout!), 'line')) as [string]
  return { process: child, said: JSON.parse(line) as Said }
}

async function end(child: ChildProcess, signal?: NodeJS.Signals) {
  if (child.exitCode !== null || child.signalCode !== null) return
  const exited = once(child, 'exit')
  if (signal) child.kill(signal)
  else child.stdin!.end()
  await exited
}

function workerWith(code: string, kind: Kind = 'native') {
  const source = `
    const { parentPort } = require('node:worker_threads')
    import(${JSON.stringify(join(dist, 'vfs', 'node-vfs.js'))}).then(({ NodeVfs }) => {
      const vfs = new NodeVfs({ native: ${kind === 'native'} })
      const lock = () => vfs.lockSync(${JSON.stringify(path)}, { exclusive: true, now: 0 })
      ${code}
    })`
  return new Worker(source, { eval: true })
}

async function lockInWorker(kind: Kind): Promise<string> {
  const worker = workerWith(
    `try { lock().release(); parentPort.postMessage('locked') }
     catch (error) { parentPort.postMessage(error.code) }`,
    kind
  )
  const [message] = (await once(worker, 'message')) as [string]
  await worker.terminate()
  return message
}

const snapshotOfFiles = () =>
  Object.fromEntries(
    fs.readdirSync(directory).map((name) => [name, fs.readFileSync(join(directory, name), 'utf8')])
  )
