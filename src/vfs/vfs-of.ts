import { NodeVfs } from './node-vfs.js'
import type { Vfs, VfsSpec } from './vfs.js'

/** The file system that a specification describes, in whichever thread. */
export function vfsOf({ native }: VfsSpec): Vfs {
  return new NodeVfs({ native })
}
