import { fileError } from './file-error.js'
import type { MemDirectoryNode, MemFileNode, MemNode } from './mem-node.js'
import { splitPath } from './mem-path.js'

/**
 * Direct access to the medium of a `MemVfs`: sees bytes as programs do, and changes them at once,
 * durably and unobserved, as a failing device would.
 */
export class MemMedium {
  readonly #root: MemDirectoryNode

  constructor(root: MemDirectoryNode) {
    this.#root = root
  }

  /** Paths of all files, sorted. */
  paths(): string[] {
    const found: string[] = []
    const visit = (directory: MemDirectoryNode, prefix: string): void => {
      for (const [name, node] of directory.entries) {
        if (node.isDirectory) visit(node, `${prefix}/${name}`)
        else found.push(`${prefix}/${name}`)
      }
    }
    visit(this.#root, '')
    return found.sort()
  }

  read(path: string): Buffer {
    return this.#file(path).current.toBuffer()
  }

  /** Overwrites bytes of a file without leaving anything unsynced. */
  overwrite(path: string, bytes: Uint8Array, position: number): void {
    const file = this.#file(path)
    file.current.write(bytes, position)
    file.synced.write(bytes, position)
  }

  resize(path: string, sizeBytes: number): void {
    const file = this.#file(path)
    file.current.truncate(sizeBytes)
    file.synced.truncate(sizeBytes)
  }

  remove(path: string): void {
    const names = splitPath(path)
    const name = names.pop()!
    const directory = this.#node(path, names)
    if (!directory.isDirectory || !directory.entries.has(name)) {
      throw fileError('remove', path, 'ENOENT')
    }
    directory.entries.delete(name)
    directory.durable.delete(name)
  }

  #file(path: string): MemFileNode {
    const node = this.#node(path, splitPath(path))
    if (node.isDirectory) throw fileError('access', path, 'EISDIR')
    return node
  }

  #node(path: string, names: readonly string[]): MemNode {
    let node: MemNode | undefined = this.#root
    for (const name of names) {
      node = node?.isDirectory ? node.entries.get(name) : undefined
    }
    if (!node) throw fileError('access', path, 'ENOENT')
    return node
  }
}
