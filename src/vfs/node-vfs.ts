import fs from 'node:fs'
import { basename, dirname, join, resolve } from 'node:path'
import { loadNativeBinding, type NativeBinding } from '../native-binding.js'
import { lockFile } from './file-lock.js'
import { asPromise, errnoOf, nodeError, withTypedErrors } from './node-error.js'
import { NodeFile } from './node-file.js'
import { makeShadowDirectory } from './shadow-directory.js'
import type { FileStat, OpenMode, Vfs, VfsLock, VfsSpec } from './vfs.js'

export interface NodeVfsOptions {
  /**
   * `true`: the native addon, if there is one for this platform. `false`: JavaScript forms only; the
   * lock is then a file that a crashed owner leaves behind, space is reserved by writing zeros, and
   * a durable write takes two trips to another thread. A binding: that one.
   */
  readonly native?: boolean | NativeBinding
}

/** The file system of the machine, through `node:fs` and the native addon. */
export class NodeVfs implements Vfs {
  readonly spec: VfsSpec
  readonly #native: NativeBinding | undefined

  constructor({ native = true }: NodeVfsOptions = {}) {
    this.#native = native === true ? loadNativeBinding() : native === false ? undefined : native
    this.spec = { kind: 'node', native: this.#native !== undefined }
  }

  realPath(path: string): string {
    return withoutLinks(resolve(path))
  }

  async shadow(directory: string, isCopied: (name: string) => boolean): Promise<string> {
    try {
      return await makeShadowDirectory(directory, isCopied, fileMode, this.#native)
    } catch (error) {
      throw nodeError('shadow', directory, error)
    }
  }

  async open(path: string, mode: OpenMode): Promise<NodeFile> {
    const fd = await asPromise<number>('open', path, (done) =>
      fs.open(path, flagsOf(mode), fileMode, done)
    )
    return new NodeFile(path, fd, this.#native)
  }

  openSync(path: string, mode: OpenMode): NodeFile {
    const fd = withTypedErrors('open', path, () => fs.openSync(path, flagsOf(mode), fileMode))
    return new NodeFile(path, fd, this.#native)
  }

  mkdirSync(path: string): void {
    withTypedErrors('mkdir', path, () => fs.mkdirSync(path))
  }

  async readdir(path: string): Promise<string[]> {
    const names = await asPromise<string[]>('readdir', path, (done) => fs.readdir(path, done))
    return names.sort()
  }

  readdirSync(path: string): string[] {
    return withTypedErrors('readdir', path, () => fs.readdirSync(path)).sort()
  }

  statSync(path: string): FileStat | undefined {
    try {
      const stat = fs.statSync(path)
      return {
        sizeBytes: stat.size,
        isDirectory: stat.isDirectory(),
        modifiedMs: stat.mtimeMs
      }
    } catch (error) {
      const errno = errnoOf(error)
      if (errno === 'ENOENT' || errno === 'ENOTDIR') return undefined
      throw nodeError('stat', path, error)
    }
  }

  rename(from: string, to: string): Promise<void> {
    return asPromise('rename', from, (done) => fs.rename(from, to, done))
  }

  renameSync(from: string, to: string): void {
    withTypedErrors('rename', from, () => fs.renameSync(from, to))
  }

  link(from: string, to: string): Promise<void> {
    return asPromise('link', to, (done) => fs.link(from, to, done))
  }

  unlink(path: string): Promise<void> {
    return asPromise('unlink', path, (done) => fs.unlink(path, done))
  }

  unlinkSync(path: string): void {
    withTypedErrors('unlink', path, () => fs.unlinkSync(path))
  }

  rmdirSync(path: string): void {
    withTypedErrors('rmdir', path, () => fs.rmdirSync(path))
  }

  async syncDirectory(path: string): Promise<void> {
    if (!directoriesCanBeSynced) return
    const fd = await asPromise<number>('syncDirectory', path, (done) =>
      fs.open(path, directoryFlags, done)
    )
    try {
      await asPromise<void>('syncDirectory', path, (done) => fs.fsync(fd, done))
    } finally {
      await asPromise<void>('syncDirectory', path, (done) => fs.close(fd, done))
    }
  }

  syncDirectorySync(path: string): void {
    if (!directoriesCanBeSynced) return
    withTypedErrors('syncDirectory', path, () => {
      const fd = fs.openSync(path, directoryFlags)
      try {
        fs.fsyncSync(fd)
      } finally {
        fs.closeSync(fd)
      }
    })
  }

  lockSync(path: string, options: { exclusive: boolean; now: number }): VfsLock {
    return lockFile(path, options, this.#native)
  }

  async freeBytes(path: string): Promise<number> {
    const stat = await asPromise<fs.StatsFs>('freeBytes', path, (done) => fs.statfs(path, done))
    return stat.bavail * stat.bsize
  }
}

/** Data is for its owner to write; what others may read is the umask's business. */
const fileMode = 0o644

const directoryFlags = fs.constants.O_RDONLY | (fs.constants.O_DIRECTORY ?? 0)

/** Windows has no such call. */
const directoriesCanBeSynced = process.platform !== 'win32'

/** Node opens every file close-on-exec, so child processes never hold one by accident. */
function flagsOf(mode: OpenMode): string {
  switch (mode) {
    case 'read':
      return 'r'
    case 'readwrite':
      return 'r+'
    case 'create':
      return 'wx+'
  }
}

/** The path without symbolic links, as far as there is something. */
function withoutLinks(path: string): string {
  try {
    return fs.realpathSync(path)
  } catch {
    // Not there, or not to be seen: whoever uses the path is told.
    const parent = dirname(path)
    return parent === path ? path : join(withoutLinks(parent), basename(path))
  }
}
