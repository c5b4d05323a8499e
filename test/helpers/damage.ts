import type { SeededRandom } from '../../dist/base/random.js'
import type { MemVfs } from '../../dist/vfs/mem-vfs.js'

/**
 * Damage to what is on the medium of a `MemVfs`: synced bytes, changed behind everybody's back.
 * Every function returns a sentence that says what it did, for failure messages.
 */

export const sectorBytes = 512

export function flipBit(vfs: MemVfs, path: string, bit: number): string {
  const position = Math.floor(bit / 8)
  const all = vfs.medium.read(path)
  vfs.medium.overwrite(path, Buffer.of(all[position]! ^ (1 << (bit % 8))), position)
  return `bit ${bit % 8} of byte ${position} flipped in ${path}`
}

/** Zeroes a block, clipped to the file. */
export function zeroBlock(
  vfs: MemVfs,
  path: string,
  position: number,
  lengthBytes = sectorBytes
): string {
  const length = Math.min(lengthBytes, vfs.medium.read(path).length - position)
  vfs.medium.overwrite(path, Buffer.alloc(length), position)
  return `${length} bytes at ${position} zeroed in ${path}`
}

/** Fills a block with arbitrary bytes, clipped to the file. */
export function scrambleBlock(
  vfs: MemVfs,
  path: string,
  position: number,
  random: SeededRandom,
  lengthBytes = sectorBytes
): string {
  const length = Math.min(lengthBytes, vfs.medium.read(path).length - position)
  vfs.medium.overwrite(path, random.fill(Buffer.alloc(length)), position)
  return `${length} bytes at ${position} scrambled in ${path}`
}

/** Puts back what an older clone had there: a write that was lost although it was synced. */
export function restoreStaleBlock(
  vfs: MemVfs,
  older: MemVfs,
  path: string,
  position: number,
  lengthBytes = sectorBytes
): string {
  const size = vfs.medium.read(path).length
  const stale = older.medium.read(path).subarray(position, Math.min(size, position + lengthBytes))
  vfs.medium.overwrite(path, stale, position)
  return `${stale.length} bytes at ${position} put back to an older version in ${path}`
}

/** Swaps two blocks, as two misdirected writes would. */
export function swapBlocks(
  vfs: MemVfs,
  path: string,
  first: number,
  second: number,
  lengthBytes = sectorBytes
): string {
  const all = vfs.medium.read(path)
  const length = Math.min(lengthBytes, all.length - Math.max(first, second))
  vfs.medium.overwrite(path, all.subarray(first, first + length), second)
  vfs.medium.overwrite(path, all.subarray(second, second + length), first)
  return `${length} bytes at ${first} and at ${second} swapped in ${path}`
}

export function truncate(vfs: MemVfs, path: string, sizeBytes: number): string {
  const before = vfs.medium.read(path).length
  vfs.medium.resize(path, sizeBytes)
  return `${path} cut from ${before} to ${sizeBytes} bytes`
}

export function remove(vfs: MemVfs, path: string): string {
  vfs.medium.remove(path)
  return `${path} removed`
}

/** Puts a whole file back to what an older clone had, as a restored backup of one file would. */
export function restoreStaleFile(vfs: MemVfs, older: MemVfs, path: string): string {
  const stale = older.medium.read(path)
  vfs.medium.resize(path, 0)
  vfs.medium.overwrite(path, stale, 0)
  return `${path} put back to an older version of ${stale.length} bytes`
}

/** Exchanges two files, as names that were mixed up would. */
export function swapFiles(vfs: MemVfs, first: string, second: string): string {
  const [one, other] = [first, second].map((path) => vfs.medium.read(path))
  for (const [path, bytes] of [
    [first, other!],
    [second, one!]
  ] as const) {
    vfs.medium.resize(path, 0)
    vfs.medium.overwrite(path, bytes, 0)
  }
  return `${first} and ${second} swapped`
}

/** One piece of damage of a random kind to a random file that matches; undefined: none does. */
export function damageAnything(
  vfs: MemVfs,
  random: SeededRandom,
  options: { older?: MemVfs; matches?: (path: string) => boolean; blockBytes?: number } = {}
): string | undefined {
  const blockBytes = options.blockBytes ?? sectorBytes
  const paths = vfs.medium.paths().filter((path) => options.matches?.(path) ?? true)
  if (paths.length === 0) return undefined
  const path = random.pick(paths)
  const size = vfs.medium.read(path).length
  if (size === 0) return remove(vfs, path)
  const block = () => random.below(Math.ceil(size / blockBytes)) * blockBytes
  const { older } = options
  const stale = older?.statSync(path) ? older : undefined
  switch (random.below(stale ? 8 : 6)) {
    case 0:
      return flipBit(vfs, path, random.below(size * 8))
    case 1:
      return zeroBlock(vfs, path, block(), blockBytes)
    case 2:
      return scrambleBlock(vfs, path, block(), random, blockBytes)
    case 3:
      return swapBlocks(vfs, path, block(), block(), blockBytes)
    case 4:
      return truncate(vfs, path, random.below(size))
    case 5:
      return remove(vfs, path)
    case 6:
      return restoreStaleBlock(vfs, stale!, path, block(), blockBytes)
    default:
      return restoreStaleFile(vfs, stale!, path)
  }
}
