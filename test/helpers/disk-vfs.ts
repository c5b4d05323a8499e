import fs from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { NodeVfs } from '../../dist/vfs/node-vfs.js'
import type { OpenMode, Vfs, VfsFile } from '../../dist/vfs/vfs.js'
import { forgetOwner } from './forget-owner.js'

export interface DiskOperation {
  /** The method, without its synchronous form: `write`, `datasync`, `syncDirectory`, … */
  readonly kind: string
  readonly path: string
}

/**
 * Where the directories are: in the machine's memory where there is room, since what these tests
 * ask of files, the death of a process included, does not depend on when a disk has them.
 */
function newRoot(): string {
  const memory = '/dev/shm'
  const free = fs.existsSync(memory) ? fs.statfsSync(memory) : undefined
  const hasRoom = free !== undefined && free.bavail * free.bsize > 2 ** 30
  return fs.mkdtempSync(join(hasRoom ? memory : tmpdir(), 'kintsugi-disk-'))
}

/** Operations that only look. */
const reading = new Set(['realPath', 'spec', 'stat', 'readdir', 'read', 'tryRead', 'size', 'path'])

/**
 * A directory of the machine as a file system whose root it is, for what needs real files. Like the
 * one in memory it tells of its operations before they begin, and can be copied as a crash of the
 * process leaves it.
 */
export class DiskVfs {
  readonly root: string
  readonly vfs: Vfs
  operationCount = 0
  readonly #listeners = new Set<(operation: DiskOperation) => void>()

  constructor(root = newRoot()) {
    this.root = root
    const inner = new NodeVfs()
    this.vfs = new Proxy(inner, {
      get: (_, name: string) => this.#methodOf(inner, name)
    })
  }

  /** Returns what takes the listener away. */
  onBeforeOperation(listener: (operation: DiskOperation) => void): () => void {
    this.#listeners.add(listener)
    return () => void this.#listeners.delete(listener)
  }

  /** A copy of all files; once more while LevelDB is changing some of them. */
  copy(): DiskVfs {
    for (let attempt = 0; attempt < 100; attempt++) {
      const target = newRoot()
      const before = listing(this.root)
      try {
        fs.cpSync(this.root, target, { recursive: true })
        if (listing(this.root) === before) {
          forgetOwner(target)
          return new DiskVfs(target)
        }
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error
      }
      fs.rmSync(target, { recursive: true })
    }
    throw new Error(`the files in ${this.root} do not come to rest`)
  }

  remove(): void {
    fs.rmSync(this.root, { recursive: true, force: true })
  }

  #methodOf(inner: NodeVfs, name: string): unknown {
    // A worker would not know of the root.
    if (name === 'spec') return undefined
    const member: unknown = inner[name as keyof NodeVfs]
    if (typeof member !== 'function') return member
    const method = member as (...args: unknown[]) => unknown
    const kind = name.replace(/Sync$/, '')
    return (...args: unknown[]): unknown => {
      const path = args[0] as string
      this.#tell(name === 'open' || name === 'openSync' ? String(args[1] as OpenMode) : kind, path)
      const paths = kind === 'rename' || kind === 'link' ? 2 : 1
      const mapped = args.map((arg, i) => (i < paths ? this.#real(arg as string) : arg))
      const result = method.apply(inner, mapped)
      if (name === 'openSync') return this.#fileOf(result as VfsFile)
      if (name === 'open') {
        return (result as Promise<VfsFile>).then((file) => this.#fileOf(file))
      }
      return result
    }
  }

  #fileOf(file: VfsFile): VfsFile {
    return new Proxy(file, {
      get: (_, name: string) => {
        const member: unknown = file[name as keyof VfsFile]
        if (typeof member !== 'function') return member
        return (...args: unknown[]): unknown => {
          for (const kind of name.replace(/Sync$/, '').split('And')) {
            this.#tell(kind.toLowerCase(), file.path.slice(this.root.length))
          }
          return (member as (...args: unknown[]) => unknown).apply(file, args)
        }
      }
    })
  }

  /** Another library may have a path of the machine already. */
  #real(path: string): string {
    return path.startsWith(this.root) ? path : `${this.root}${path}`
  }

  #tell(kind: string, path: string): void {
    if (reading.has(kind)) return
    this.operationCount++
    for (const listener of this.#listeners) listener({ kind, path })
  }
}

/** Names, sizes and times of everything below a directory. */
function listing(root: string): string {
  const names = fs.readdirSync(root, { recursive: true }) as string[]
  return names
    .map((name) => {
      const stat = fs.statSync(join(root, name), { throwIfNoEntry: false })
      return `${name} ${stat?.size} ${stat?.mtimeMs}`
    })
    .sort()
    .join('\n')
}
