import { createRequire } from 'node:module'

/**
 * The native addon (`native/addon.cc`): what Node lacks. Every function answers undefined (a count,
 * where it reads), or the name of the errno that made it fail; a bad argument is `EINVAL`. None throws, none rejects.
 */
export interface NativeBinding {
  readonly interfaceVersion: number
  /**
   * Locks the whole file for this open file description, without waiting; `EAGAIN` while another
   * one holds a conflicting lock. Exclusive needs a descriptor open for writing, shared one open
   * for reading. The lock ends when the descriptor is closed.
   */
  tryLock(fd: number, exclusive: boolean): string | undefined
  /**
   * Reads at `position` what the operating system has in memory, without waiting for the disk:
   * how many bytes that were, from the first on, or -1 for none; `ENOTSUP` where it cannot say.
   */
  readCached(fd: number, target: Uint8Array, position: number): number | string
  /** Reserves space from 0 to `sizeBytes`, extending the file; `ENOTSUP` where it cannot reserve. */
  allocate(fd: number, sizeBytes: number): Promise<string | undefined>
  allocateSync(fd: number, sizeBytes: number): string | undefined
  /** Writes all of `source` and syncs it. `source` must not change or be detached until it settles. */
  writeAndDatasync(fd: number, source: Uint8Array, position: number): Promise<string | undefined>
  /** The operating system's id of the current boot, undefined where it has none. */
  bootId(): string | undefined
}

/** Counts the incompatible changes of `NativeBinding`; `native/addon.cc` has the same number. */
const interfaceVersion = 2

/**
 * The addon for this platform, or undefined: there is no binary for it, or one that this Node cannot
 * load (another C library) or that belongs to another version of this package. Everything works
 * without it, on slower or weaker forms in JavaScript.
 */
export function loadNativeBinding(): NativeBinding | undefined {
  const require = createRequire(import.meta.url)
  try {
    const binding = require(
      `../prebuilds/${process.platform}-${process.arch}/kintsugi.node`
    ) as NativeBinding
    return binding.interfaceVersion === interfaceVersion ? binding : undefined
  } catch {
    return undefined
  }
}
