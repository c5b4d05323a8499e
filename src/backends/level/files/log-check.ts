import type { Finding, VerifyLevel } from '../../../backend/backend.js'
import { isCorruption } from '../../../errors.js'
import type { VfsFile } from '../../../vfs/vfs.js'
import type { SyncedFile } from './synced-file.js'
import { fileFinding } from './finding.js'
import { readLogRecords } from './log-records.js'
import { WriteBatchEntries } from './write-batch.js'

/**
 * Checks a log as far as it is synced. Which keys a record had that is damaged, nothing tells; what
 * lies behind the synced bytes may be torn.
 */
export async function checkLog(
  file: VfsFile,
  { sizeBytes: syncedBytes }: SyncedFile,
  level: VerifyLevel,
  step: (bytes: number) => void
): Promise<Finding[]> {
  const { path } = file
  const sizeBytes = file.sizeSync()
  if (sizeBytes < syncedBytes) {
    const what = `the log ends here although ${syncedBytes} bytes were synced`
    return [fileFinding('wrong-size', path, what, { offset: sizeBytes })]
  }
  if (level === 'basic') return []
  const findings: Finding[] = []
  for await (const item of readLogRecords(file, sizeBytes)) {
    const { offset } = item
    if (offset >= syncedBytes) break
    step(item.endOffset - offset)
    const reason = item.kind === 'damage' ? item.reason : flawIn(item.bytes)
    if (reason !== undefined) findings.push(fileFinding('damaged-log', path, reason, { offset }))
  }
  return findings
}

function flawIn(record: Buffer): string | undefined {
  try {
    const entries = new WriteBatchEntries(record)
    while (entries.next());
    return undefined
  } catch (error) {
    if (!isCorruption(error)) throw error
    return error.message
  }
}
