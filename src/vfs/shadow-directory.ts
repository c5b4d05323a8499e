import fs from 'node:fs'
import {
  chmod,
  copyFile,
  lstat,
  mkdtemp,
  readdir,
  rmdir,
  stat,
  symlink,
  unlink,
  writeFile
} from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import type { NativeBinding } from '../native-binding.js'
import { currentOwner, encodeOwner, mayBeAlive, readRecord } from './lock-owner.js'
import { errnoOf } from './node-error.js'

/**
 * Shadows: temporary directories with links to the files of another. Whoever makes one removes it; a
 * process that is killed cannot, so the next maker removes those whose process is certainly dead.
 *
 * In a shared temporary directory anybody may have put anything under such a name. So nothing is
 * touched but a directory that belongs to this user and that nobody else can look into, in a place
 * where nobody else can exchange it, with the record of its owner and without directories in it.
 * Links are removed, never followed. Whatever is not so stays where it is.
 */
const namePrefix = 'kintsugi-shadow-'
const namePattern = /^kintsugi-shadow-\w{6}$/
/** Written first and removed last, also by who removes the files in the order of their names. */
const ownerName = 'shadow.owner'
const ownerFlags = fs.constants.O_RDONLY | (fs.constants.O_NOFOLLOW ?? 0)
const privateMode = 0o600

/** Makes a shadow: copies of the files that `isCopied` names, links to the others. */
export async function makeShadowDirectory(
  directory: string,
  isCopied: (name: string) => boolean,
  copyMode: number,
  native: NativeBinding | undefined
): Promise<string> {
  const place = tmpdir()
  await removeDeadShadows(place, native)
  const shadow = await mkdtemp(join(place, namePrefix))
  try {
    await writeOwner(shadow, native)
    for (const name of await readdir(directory)) {
      const from = resolve(directory, name)
      const to = join(shadow, name)
      if (isCopied(name)) {
        await copyFile(from, to)
        // The original may be of somebody else's, or of a medium that is only read.
        await chmod(to, copyMode)
      } else if (name !== ownerName) await symlink(from, to)
    }
    return shadow
  } catch (error) {
    await removeFiles(shadow, await readdir(shadow))
    throw error
  }
}

async function writeOwner(shadow: string, native: NativeBinding | undefined): Promise<void> {
  const owner = { ...currentOwner(Date.now(), native), host: hostOf(native) }
  await writeFile(join(shadow, ownerName), encodeOwner(owner), { flag: 'wx', mode: privateMode })
}

/** Removes the shadows of processes that are certainly dead; a failure to leaves them to others. */
async function removeDeadShadows(place: string, native: NativeBinding | undefined): Promise<void> {
  let names: string[]
  try {
    if (!(await isSafePlace(place))) return
    names = (await readdir(place)).filter((name) => namePattern.test(name))
  } catch {
    return // whoever makes a shadow here is told
  }
  for (const name of names) {
    const shadow = join(place, name)
    try {
      const files = await filesOfDeadShadow(shadow, native)
      if (files !== undefined) await removeFiles(shadow, files)
    } catch {
      // Another process removes it at this moment, or nobody can: it is no concern of the caller.
    }
  }
}

/** Whether nobody else can put another directory into the place of one of this user's. */
async function isSafePlace(place: string): Promise<boolean> {
  const user = process.getuid?.()
  if (user === undefined) return true // Windows: the temporary directory is the user's own
  const { uid, mode } = await stat(place)
  const isShared = (mode & 0o022) !== 0
  const isSticky = (mode & 0o1000) !== 0
  return (uid === user || uid === 0) && (!isShared || isSticky)
}

/** The names in a shadow whose process is dead; undefined where it is none, or may be alive. */
async function filesOfDeadShadow(
  shadow: string,
  native: NativeBinding | undefined
): Promise<string[] | undefined> {
  const found = await lstat(shadow)
  const isPrivate = !hasModes() || (found.mode & 0o077) === 0
  if (!found.isDirectory() || !isOwn(found) || !isPrivate) return undefined
  const names = await readdir(shadow)
  if (!names.includes(ownerName)) return undefined
  for (const name of names) {
    const file = await lstat(join(shadow, name))
    const isPlain = file.isFile() || (file.isSymbolicLink() && name !== ownerName)
    if (!isOwn(file) || !isPlain) return undefined
  }
  return isOfDead(join(shadow, ownerName), native) ? names : undefined
}

function isOfDead(path: string, native: NativeBinding | undefined): boolean {
  const fd = fs.openSync(path, ownerFlags)
  try {
    const owner = readRecord(fd)
    const { host, bootId } = currentOwner(0, native)
    // Another machine of that name may use this directory too, so one that was restarted is not told
    // from it, and what is older stays.
    if (owner?.host !== hostOf(native) || owner.bootId !== bootId) return false
    return !mayBeAlive({ ...owner, host }, native)
  } finally {
    fs.closeSync(fd)
  }
}

/** The record of the owner goes last, so that what an interruption leaves is removed later. */
async function removeFiles(shadow: string, names: readonly string[]): Promise<void> {
  for (const name of names) if (name !== ownerName) await unlink(join(shadow, name))
  if (names.includes(ownerName)) await unlink(join(shadow, ownerName))
  await rmdir(shadow)
}

/**
 * The host, and on Linux the space of process numbers: a container that shares the temporary
 * directory has its own, in which a number says nothing about a process of another.
 */
function hostOf(native: NativeBinding | undefined): string {
  const { host } = currentOwner(0, native)
  if (process.platform !== 'linux') return host
  try {
    return `${host} ${fs.readlinkSync('/proc/self/ns/pid')}`
  } catch (error) {
    return `${host} ${errnoOf(error) ?? 'unknown'} ${process.pid}`
  }
}

function isOwn({ uid }: fs.Stats): boolean {
  return process.getuid === undefined || uid === process.getuid()
}

function hasModes(): boolean {
  return process.getuid !== undefined
}
