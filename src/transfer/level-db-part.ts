import { currentName, parseFileName } from '../backends/level/files/file-names.js'
import { KintsugiError } from '../errors.js'
import { copyMarkerName } from '../store/store-directory.js'
import { makeDirectory } from '../vfs/make-directory.js'
import type { Vfs } from '../vfs/vfs.js'

/**
 * Where a LevelDB database is made until it is whole. LevelDB has no name for a database, so the
 * place has the id of the copy: what lies there is of its making, whatever else comes to lie beside.
 */
export function partPath(path: string, id: string): string {
  return `${path}/${copyMarkerName}.${id}`
}

export async function makePart(vfs: Vfs, path: string, id: string): Promise<void> {
  await makeDirectory(vfs, partPath(path, id))
  await vfs.syncDirectory(path)
}

/** Removes LevelDB's files from the part, durably, and the part where nothing else is in it. */
export async function clearPart(vfs: Vfs, path: string, id: string): Promise<void> {
  const part = partPath(path, id)
  if (vfs.statSync(part) === undefined) return
  for (const name of vfs.readdirSync(part)) {
    if (parseFileName(name) !== undefined) await vfs.unlink(`${part}/${name}`)
  }
  await vfs.syncDirectory(part)
  if (vfs.readdirSync(part).length === 0) vfs.rmdirSync(part)
  await vfs.syncDirectory(path)
}

/**
 * Moves what is in the part to where it belongs, durably, also the rest of it after an interruption;
 * CURRENT goes last, which makes it a database. Nothing is replaced. False where there is none.
 */
export async function publishPart(vfs: Vfs, path: string, id: string): Promise<boolean> {
  const part = partPath(path, id)
  if (vfs.statSync(part) !== undefined) {
    const names = vfs.readdirSync(part).filter((name) => parseFileName(name)?.kind !== 'lock')
    const taken = names.find((name) => vfs.statSync(`${path}/${name}`) !== undefined)
    if (taken !== undefined) throw isTaken(path, part, taken)
    await moveAll(vfs, part, path, [...names.filter((name) => name !== currentName)])
    await moveAll(vfs, part, path, [...names.filter((name) => name === currentName)])
    for (const name of vfs.readdirSync(part)) await vfs.unlink(`${part}/${name}`)
    vfs.rmdirSync(part)
    await vfs.syncDirectory(path)
  }
  return vfs.statSync(`${path}/${currentName}`) !== undefined
}

async function moveAll(
  vfs: Vfs,
  from: string,
  to: string,
  names: readonly string[]
): Promise<void> {
  for (const name of names) await vfs.rename(`${from}/${name}`, `${to}/${name}`)
  await vfs.syncDirectory(to)
  await vfs.syncDirectory(from)
}

function isTaken(path: string, part: string, name: string): KintsugiError {
  return new KintsugiError(
    'KINTSUGI_FOREIGN_DIRECTORY',
    `the copy in ${part} is whole, but ${path}/${name}, which it did not make, is in its place; ` +
      'move that out of the directory and run the same command again, nothing was changed',
    { path: `${path}/${name}` }
  )
}
