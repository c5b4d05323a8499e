import { backendNames, looksLikeLevelDb } from '../backends/registry.js'
import { KintsugiError } from '../errors.js'
import type { Vfs } from '../vfs/vfs.js'
import { slotNames, type Identity } from './identity.js'

/** Names in a store's directory. */
export const lockName = 'LOCK'
const creatingName = 'CREATING'
/** Lies in the destination of a copy from before its first entry until all of them are checked. */
export const copyMarkerName = 'UNFINISHED-COPY'
/** Keeps other copies out where the directory has a lock file of somebody else's. */
export const copyLockName = `${copyMarkerName}.lock`
export const walName = 'wal'
const quarantineName = 'quarantine'
/** Nothing else is taken for data, and removed with a store: photos-2024 is somebody's. */
const dataPattern = new RegExp(`^(?:${backendNames.join('|')})-\\d+$`)

/** Directory with the live data of a store (rule S4). */
export function dataDirectory(path: string, identity: Identity): string {
  return `${path}/${dataName(identity.backend, identity.dataGeneration)}`
}

export function dataName(backend: string, dataGeneration: number): string {
  return `${backend}-${dataGeneration}`
}

/** Where what is set aside at a time goes; nothing is deleted that cannot be made again. */
export function quarantineDirectory(path: string, nowMs: number): string {
  return `${path}/${quarantineName}/${timeStamp(nowMs)}`
}

/** A time as part of a file name. */
export function timeStamp(nowMs: number): string {
  return new Date(nowMs).toISOString().replaceAll(/[:.]/g, '-')
}

/** What a path holds, as far as names tell (rule S3). */
export type DirectoryState = 'missing' | 'empty' | 'half-created' | 'store' | RefusedState
/** What is neither a store nor may become one. */
export type RefusedState = (typeof refusedStates)[number]
const refusedStates = ['headless', 'unfinished', 'leveldb', 'foreign'] as const

/** Neither a store nor a place for one. */
export function isRefused(state: DirectoryState): state is RefusedState {
  return (refusedStates as readonly string[]).includes(state)
}

/**
 * Looks without changing anything, so that a directory of somebody else stays untouched. The copy
 * that fills it, `fillsCopy`, may go on in a directory with its marker; data without slots that no
 * creation explains is not of its making.
 */
export function inspectDirectory(vfs: Vfs, path: string, fillsCopy = false): DirectoryState {
  const stat = vfs.statSync(path)
  if (stat === undefined) return 'missing'
  if (!stat.isDirectory) return 'foreign'
  // A mount point of its own has lost+found; a creator that died early leaves only its lock.
  const names = vfs.readdirSync(path).filter((name) => !ignoredNames.includes(name))
  if (names.length === 0) return 'empty'
  if (!fillsCopy && names.some(isCopyMarker)) return 'unfinished'
  if (slotNames.some((slot) => names.includes(slot))) return 'store'
  if (names.includes(creatingName)) return 'half-created'
  if (names.some((name) => name === walName || dataPattern.test(name))) return 'headless'
  // What a copy has not made into a store yet it makes, whoever else has files there.
  if (fillsCopy) return looksLikeLevelDb(names) ? 'leveldb' : 'half-created'
  return looksLikeLevelDb(names) ? 'leveldb' : 'foreign'
}

/** What says nothing of who a directory belongs to. */
const ignoredNames: readonly string[] = [
  'lost+found',
  ...[lockName, copyLockName].flatMap((name) => [name, `${name}.owner`])
]

/** The marker of a copy, or what is to become it. */
export function isCopyMarker(name: string): boolean {
  return name === copyMarkerName || name === `${copyMarkerName}.tmp`
}

/** The error for a directory that is neither a store nor may become one. */
export function refuseDirectory(path: string, state: RefusedState): KintsugiError {
  const facts = { path }
  switch (state) {
    case 'headless':
      return new KintsugiError(
        'KINTSUGI_CORRUPTION',
        `${path} holds data of a store but neither ${slotNames.join(' nor ')}; put them back from ` +
          'a backup of the directory, nothing was changed',
        facts
      )
    case 'unfinished':
      return new KintsugiError(
        'KINTSUGI_UNFINISHED_COPY',
        `${path} holds an unfinished copy of another store; run the same migrate, import or ` +
          'export again to finish it, or delete the directory',
        facts
      )
    case 'leveldb':
      return new KintsugiError(
        'KINTSUGI_FOREIGN_DIRECTORY',
        `${path} is a LevelDB database and not a Kintsugi store; ` +
          `\`kintsugi import --from-leveldb ${path} STORE\` makes a store of what is in it, nothing ` +
          'was changed',
        facts
      )
    case 'foreign':
      return new KintsugiError(
        'KINTSUGI_FOREIGN_DIRECTORY',
        `${path} is not a Kintsugi store and not empty; choose another path, nothing was changed`,
        facts
      )
  }
}

/** Puts the marker of a creation in place and removes what an interrupted one left (rule S3). */
export async function beginCreation(vfs: Vfs, path: string): Promise<void> {
  const names = vfs.readdirSync(path)
  await writeMarker(vfs, path, names)
  for (const name of names) {
    if (name === walName || dataPattern.test(name)) removeTree(vfs, `${path}/${name}`)
    else if (slotNames.some((slot) => name === `${slot}.tmp`)) vfs.unlinkSync(`${path}/${name}`)
  }
}

async function writeMarker(vfs: Vfs, path: string, names: readonly string[]): Promise<void> {
  if (!names.includes(creatingName)) {
    const marker = await vfs.open(`${path}/${creatingName}`, 'create')
    try {
      await marker.datasync()
    } finally {
      await marker.close()
    }
  }
  // The marker is durable before anything it explains; once more after an interrupted creation.
  await vfs.syncDirectory(path)
}

/**
 * Removes a store: a creation backwards. The slots go first, and durably, behind the marker of a
 * creation: so a store without all its data never passes for one (rule S3).
 */
export async function removeStore(vfs: Vfs, path: string): Promise<void> {
  const names = vfs.readdirSync(path)
  await writeMarker(vfs, path, names)
  for (const name of slotNames) if (names.includes(name)) await vfs.unlink(`${path}/${name}`)
  await vfs.syncDirectory(path)
  for (const name of names) {
    const isTree = name === walName || name === quarantineName || dataPattern.test(name)
    if (isTree) removeTree(vfs, `${path}/${name}`)
    else if (slotNames.some((slot) => name === `${slot}.tmp`)) vfs.unlinkSync(`${path}/${name}`)
  }
  // What the marker explains is gone for good before the marker is.
  await vfs.syncDirectory(path)
  await endCreation(vfs, path)
}

/** Takes the marker away once the identity slots are durable. */
export async function endCreation(vfs: Vfs, path: string): Promise<void> {
  if (vfs.statSync(`${path}/${creatingName}`) === undefined) return
  await vfs.unlink(`${path}/${creatingName}`)
  await vfs.syncDirectory(path)
}

/** Removes a directory with all it holds; only for what can be made again. */
export function removeTree(vfs: Vfs, path: string): void {
  for (const name of vfs.readdirSync(path)) {
    const child = `${path}/${name}`
    if (vfs.statSync(child)?.isDirectory === true) removeTree(vfs, child)
    else vfs.unlinkSync(child)
  }
  vfs.rmdirSync(path)
}
