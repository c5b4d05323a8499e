import { createHash } from 'node:crypto'
import { closeSync, openSync, readdirSync, readFileSync, statSync, writeSync } from 'node:fs'
import { join } from 'node:path'

/** Name and content hash of every file below a directory. */
export function directoryDigest(path: string): Record<string, string> {
  const digest: Record<string, string> = {}
  for (const name of (readdirSync(path, { recursive: true }) as string[]).toSorted()) {
    if (!statSync(join(path, name)).isFile()) continue
    digest[name] = createHash('sha256')
      .update(readFileSync(join(path, name)))
      .digest('hex')
  }
  return digest
}

/** Overwrites a few pages amid the largest file of a subdirectory; returns its name. */
export function damageLargestFile(store: string, subdirectory: string): string {
  const directory = join(store, subdirectory)
  const names = readdirSync(directory)
  const size = (name: string): number => statSync(join(directory, name)).size
  const largest = names.reduce((a, b) => (size(b) > size(a) ? b : a))
  overwrite(join(directory, largest), Math.floor(size(largest) / 2), 32_768)
  return largest
}

export function overwrite(file: string, offset: number, length: number): void {
  const handle = openSync(file, 'r+')
  writeSync(handle, Buffer.alloc(length, 0xa5), 0, length, offset)
  closeSync(handle)
}
