// Directories of stores: size, copy, removal, and a flush of the machine between cells.
import { spawnSync } from 'node:child_process'
import {
  closeSync,
  cpSync,
  mkdirSync,
  openSync,
  readdirSync,
  rmSync,
  statSync,
  writeSync,
  fdatasyncSync
} from 'node:fs'
import { join } from 'node:path'

function* files(dir) {
  for (const entry of readdirSync(dir, { withFileTypes: true })) {
    const path = join(dir, entry.name)
    if (entry.isDirectory()) yield* files(path)
    else if (entry.isFile()) yield path
  }
}

/** Space the files take up, holes not counted. */
export function diskBytes(dir) {
  let total = 0
  for (const path of files(dir)) total += statSync(path).blocks * 512
  return total
}

export function copyStore(from, to) {
  // A memory-mapped store's file may be mostly hole, which Node's own copy would fill with zeros.
  const copied = spawnSync('cp', ['-R', '--sparse=always', from, to])
  if (copied.status !== 0) cpSync(from, to, { recursive: true })
}

export function remove(dir) {
  rmSync(dir, { recursive: true, force: true })
}

/** Nothing that an earlier cell left to write back may burden the next one. */
export function flushMachine() {
  spawnSync('sync')
}

/** What this disk gives a plain append + fdatasync: the ceiling of one durable writer. */
export function rawAppendsPerSecond(dir) {
  mkdirSync(dir, { recursive: true })
  const path = join(dir, 'raw-append')
  const fd = openSync(path, 'w')
  const bytes = Buffer.alloc(128, 0x6b)
  const from = performance.now()
  let appends = 0
  while (performance.now() - from < 1000) {
    writeSync(fd, bytes, 0, bytes.length, appends * bytes.length)
    fdatasyncSync(fd)
    appends += 1
  }
  const perSecond = (appends / (performance.now() - from)) * 1000
  closeSync(fd)
  rmSync(path)
  return perSecond
}
