import fs from 'node:fs'
import { hostname } from 'node:os'
import { KintsugiError } from '../errors.js'
import type { NativeBinding } from '../native-binding.js'
import { errnoOf } from './node-error.js'
import type { LockOwner } from './vfs.js'

/**
 * An owner's record has this size for ever, blank or not, so that taking and releasing a lock needs
 * no space on a full disk.
 */
const recordBytes = 512

const { O_RDONLY, O_RDWR, O_CREAT } = fs.constants

export function currentOwner(now: number, native: NativeBinding | undefined): LockOwner {
  return {
    pid: process.pid,
    // Cut, so that the record fits whatever bytes the name takes.
    host: hostname().slice(0, 64),
    bootId: bootId(native),
    since: new Date(now).toISOString()
  }
}

export function encodeOwner(owner: LockOwner | undefined): Buffer {
  const record = Buffer.alloc(recordBytes, ' ')
  if (owner) record.write(JSON.stringify(owner))
  record[recordBytes - 1] = 0x0a
  return record
}

/**
 * The owner in a lock file's content, undefined if it is blank. It is there for people, never to
 * decide who holds the lock: a crash can leave anything, which is then an unknown owner.
 */
function decodeOwner(content: Uint8Array): LockOwner | undefined {
  const text = Buffer.from(content).toString().trim()
  if (text === '') return undefined
  let fields: Record<string, unknown> = {}
  try {
    fields = Object(JSON.parse(text)) as Record<string, unknown>
  } catch {
    // Half written, or zeros after a power cut; the defaults below say so.
  }
  const { pid, host, bootId, since } = fields
  return {
    pid: typeof pid === 'number' && Number.isSafeInteger(pid) && pid > 0 ? pid : 0,
    host: typeof host === 'string' ? host : 'unknown',
    bootId: typeof bootId === 'string' ? bootId : 'unknown',
    since: typeof since === 'string' ? since : 'unknown'
  }
}

/** False only where it is certain: the machine was restarted since, or has no such process. */
export function mayBeAlive(owner: LockOwner, native: NativeBinding | undefined): boolean {
  if (owner.pid === 0 || owner.host !== hostname().slice(0, 64)) return true
  const boot = bootId(native)
  if (boot !== 'unknown' && owner.bootId !== 'unknown' && boot !== owner.bootId) return false
  try {
    process.kill(owner.pid, 0)
    return true
  } catch (error) {
    return errnoOf(error) !== 'ESRCH'
  }
}

/** A shared locker of an existing file needs no right to write. */
export function openLockFile(path: string, exclusive: boolean): number {
  if (!exclusive) {
    try {
      return fs.openSync(path, O_RDONLY)
    } catch (error) {
      if (errnoOf(error) !== 'ENOENT') throw error
    }
  }
  return fs.openSync(path, O_RDWR | O_CREAT, 0o644)
}

export function readRecord(fd: number): LockOwner | undefined {
  const content = Buffer.alloc(recordBytes)
  const sizeBytes = fs.readSync(fd, content, 0, recordBytes, 0)
  return decodeOwner(content.subarray(0, sizeBytes))
}

/** A record cut short by a full disk still reads as an owner, if an unknown one. */
export function writeRecord(fd: number, owner: LockOwner | undefined): void {
  fs.writeSync(fd, encodeOwner(owner), 0, recordBytes, 0)
}

/** The file whose existence is the lock of an owner without the addon. */
export function ownerPathOf(path: string): string {
  return `${path}.owner`
}

export function ownerFileExists(path: string): boolean {
  return fs.statSync(ownerPathOf(path), { throwIfNoEntry: false }) !== undefined
}

/** The refusal to one who met an owner file; it may be gone again by now. */
export function ownerFileError(path: string, native: NativeBinding | undefined): KintsugiError {
  let owner: LockOwner | undefined
  try {
    owner = decodeOwner(fs.readFileSync(ownerPathOf(path)))
  } catch (error) {
    if (errnoOf(error) !== 'ENOENT') throw error
  }
  const certainly =
    owner && !mayBeAlive(owner, native) ? 'that process is gone, so' : 'if it is gone,'
  return lockedError(
    path,
    owner,
    `close the store there; ${certainly} delete ${ownerPathOf(path)} (an owner without the native` +
      ` addon leaves it behind when it crashes)`
  )
}

/** The refusal; `advice` says what to do next. */
export function lockedError(
  path: string,
  owner: LockOwner | undefined,
  advice: string
): KintsugiError {
  if (!owner || owner.pid === 0) {
    const message = `${path} is locked by another opener that left no name: ${advice}`
    return new KintsugiError('KINTSUGI_LOCKED', message, { path, operation: 'lock' })
  }
  const { pid, host, since } = owner
  return new KintsugiError(
    'KINTSUGI_LOCKED',
    `${path} is locked by process ${pid} on ${host} since ${since}: ${advice}`,
    { path, operation: 'lock', owner: { pid, host, since } }
  )
}

function bootId(native: NativeBinding | undefined): string {
  const id = native?.bootId()
  if (id !== undefined) return id
  try {
    return fs.readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim()
  } catch {
    // Only Linux has that file; the record is for people, and says as much.
    return 'unknown'
  }
}
