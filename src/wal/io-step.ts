import type { OpenMode, Vfs, VfsFile } from '../vfs/vfs.js'

/**
 * One wait for the file system, in both forms. The log's procedures are generators that yield
 * steps, so that one text serves the asynchronous and the synchronous path.
 */
export interface Step<T> {
  async(): Promise<T>
  sync(): T
}

export type Procedure<T> = Generator<Step<unknown>, T, unknown>

/** Yields one step and hands its result back typed. */
export function* perform<T>(step: Step<T>): Procedure<T> {
  return (yield step) as T
}

export function runSync<T>(procedure: Procedure<T>): T {
  let next = procedure.next()
  while (!next.done) {
    let result: unknown
    try {
      result = next.value.sync()
    } catch (error) {
      next = procedure.throw(error)
      continue
    }
    next = procedure.next(result)
  }
  return next.value
}

export async function runAsync<T>(procedure: Procedure<T>): Promise<T> {
  let next = procedure.next()
  while (!next.done) {
    let result: unknown
    try {
      result = await next.value.async()
    } catch (error) {
      next = procedure.throw(error)
      continue
    }
    next = procedure.next(result)
  }
  return next.value
}

export function openFile(vfs: Vfs, path: string, mode: OpenMode): Step<VfsFile> {
  return { async: () => vfs.open(path, mode), sync: () => vfs.openSync(path, mode) }
}

export function renameFile(vfs: Vfs, from: string, to: string): Step<void> {
  return { async: () => vfs.rename(from, to), sync: () => vfs.renameSync(from, to) }
}

export function unlinkFile(vfs: Vfs, path: string): Step<void> {
  return { async: () => vfs.unlink(path), sync: () => vfs.unlinkSync(path) }
}

export function syncDirectory(vfs: Vfs, path: string): Step<void> {
  return {
    async: () => vfs.syncDirectory(path),
    sync: () => vfs.syncDirectorySync(path)
  }
}
