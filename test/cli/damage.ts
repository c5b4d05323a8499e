import { spawnSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import {
  closeSync,
  openSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeSync
} from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

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

/** A store with k0, k1 and k2 whose process was killed, so that they are in the log alone. */
export function killedStore(path: string, backend = 'btree'): void {
  const index = fileURLToPath(new URL('../../dist/index.js', import.meta.url))
  const program = `
    const { open } = await import(${JSON.stringify(index)})
    const store = await open(${JSON.stringify(path)}, { backend: ${JSON.stringify(backend)} })
    for (let i = 0; i < 3; i++) await store.put('k' + i, 'v' + i)
    process.kill(process.pid, 'SIGKILL')`
  const { signal, stderr } = spawnSync(process.execPath, ['--input-type=module', '-e', program])
  if (signal !== 'SIGKILL') throw new Error(String(stderr))
  // Without the addon the dead process still owns the store; this is what the error tells to do.
  rmSync(join(path, 'LOCK.owner'), { force: true })
}
