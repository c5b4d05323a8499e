import type { Checksum } from '../../../codec/checksum.js'
import { BlockCache } from './block-cache.js'
import { BlockDecoder } from './block-decoder.js'
import { BlockUnpacker } from './block-unpacker.js'
import { TableFiles } from './table-files.js'
import type { Vfs } from '../../../vfs/vfs.js'
import { VersionList } from './version-list.js'

export interface TableEnvOptions {
  readonly vfs: Vfs
  readonly storeId: Uint8Array
  readonly checksum: Checksum
  readonly blockBytes: number
  readonly cacheBytes: number
  /** Most table files open at a time. */
  readonly maxOpenFiles?: number
  readonly slabBytes?: number
}

/** What all tables of a store share for reading. */
export class TableEnv {
  readonly storeId: Uint8Array
  readonly checksum: Checksum
  readonly cache: BlockCache
  readonly files: TableFiles
  readonly unpacker: BlockUnpacker
  readonly list = new VersionList()
  #scratch = Buffer.alloc(0)

  constructor(options: TableEnvOptions) {
    const { vfs, storeId, checksum, blockBytes, cacheBytes } = options
    this.storeId = storeId
    this.checksum = checksum
    this.cache = new BlockCache(blockBytes, cacheBytes, options.slabBytes)
    this.files = new TableFiles(vfs, options.maxOpenFiles)
    this.unpacker = new BlockUnpacker(new BlockDecoder(), blockBytes)
  }

  /** Memory for a block on its way into a frame; its contents last until the next call. */
  scratch(bytes: number): Buffer {
    if (bytes > this.#scratch.length) this.#scratch = Buffer.allocUnsafeSlow(2 * bytes)
    return this.#scratch.subarray(0, bytes)
  }
}
