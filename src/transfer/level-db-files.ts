import { createHash } from 'node:crypto'
import type { Finding, Progress } from '../backend/backend.js'
import type { SyncedFile } from '../backends/level/files/synced-file.js'
import { parseFileName } from '../backends/level/files/file-names.js'
import { checkLevelDb } from '../backends/level/files/leveldb-check.js'
import { readLogRecords } from '../backends/level/files/log-records.js'
import { KintsugiError } from '../errors.js'
import type { Vfs } from '../vfs/vfs.js'

const shownFindings = 5

/**
 * SHA-256 that changes when anything is written to a LevelDB database: of the names, sizes and
 * contents of its files, tables by name and size alone, because LevelDB never changes those.
 */
export async function fileDigest(vfs: Vfs, path: string): Promise<string> {
  const hash = createHash('sha256')
  for (const name of await vfs.readdir(path)) {
    const kind = parseFileName(name)?.kind
    if (kind === 'table') {
      hash.update(`${name} ${vfs.statSync(`${path}/${name}`)?.sizeBytes}\n`)
    } else if (kind === 'current' || kind === 'manifest' || kind === 'log') {
      const bytes = await readWhole(vfs, `${path}/${name}`)
      hash.update(`${name} ${bytes.length}\n`).update(bytes)
    }
  }
  return hash.digest('hex')
}

/**
 * Checks every checksum of a LevelDB database that is closed, because LevelDB would leave out what
 * is damaged without a word. How much of its logs was synced nobody knows: each may have a torn
 * tail, as after a power cut, where LevelDB goes on before it too.
 */
export async function checkWhole(vfs: Vfs, path: string, progress: Progress): Promise<void> {
  const logs: SyncedFile[] = []
  for (const name of await vfs.readdir(path)) {
    if (parseFileName(name)?.kind !== 'log') continue
    logs.push({ name, sizeBytes: await intactBytes(vfs, `${path}/${name}`) })
  }
  const silent: Progress = {
    signal: progress.signal,
    report: () => progress.signal?.throwIfAborted()
  }
  const findings = await checkLevelDb(vfs, path, logs, 'standard', silent)
  const errors = findings.filter(({ severity }) => severity === 'error')
  if (errors.length > 0) throw damaged(path, errors)
}

function damaged(path: string, findings: readonly Finding[]): KintsugiError {
  const [first] = findings
  const shown = findings
    .slice(0, shownFindings)
    .map(({ message }) => message.replace(/; run `kintsugi repair`$/, ''))
  const more = findings.length - shown.length
  return new KintsugiError(
    'KINTSUGI_CORRUPTION',
    `the LevelDB database in ${path} is damaged, which LevelDB itself would pass over: ` +
      `${shown.join('. ')}${more > 0 ? `. And ${more} more` : ''}. Put it back from a backup, or ` +
      "have LevelDB's own repair save what it can in a copy; nothing was changed",
    {
      path: first.path,
      ...(first.offset !== undefined && { offset: first.offset }),
      ...(first.lowKey && { lowKey: first.lowKey }),
      ...(first.highKey && { highKey: first.highKey })
    }
  )
}

/** The length of a log without a torn tail. */
async function intactBytes(vfs: Vfs, path: string): Promise<number> {
  const file = await vfs.open(path, 'read')
  try {
    const sizeBytes = file.sizeSync()
    let end = sizeBytes
    for await (const item of readLogRecords(file, sizeBytes)) {
      end = item.kind === 'damage' && item.isTorn ? item.offset : sizeBytes
    }
    return end
  } finally {
    await file.close()
  }
}

/** Where LevelDB finds a directory. */
export function realPathOf(vfs: Vfs, path: string): string {
  const real = vfs.realPath(path)
  if (real !== undefined) return real
  throw new KintsugiError(
    'KINTSUGI_NOT_SUPPORTED',
    `LevelDB needs files of the machine, and ${path} is on a file system of its own`,
    { path }
  )
}

async function readWhole(vfs: Vfs, path: string): Promise<Buffer> {
  const file = await vfs.open(path, 'read')
  try {
    const bytes = Buffer.allocUnsafe(file.sizeSync())
    return bytes.subarray(0, await file.read(bytes, 0))
  } finally {
    await file.close()
  }
}
