import type { Finding } from '../backend/backend.js'
import type { Checksum } from '../codec/checksum.js'
import type { Vfs } from '../vfs/vfs.js'
import { inspectLog } from '../wal/inspect.js'
import type { LogFinding, LogLoss } from '../wal/witness.js'
import { loadIdentity, type Identity } from './identity.js'
import { walName } from './store-directory.js'

/**
 * Checks what every backend shares: identity slots and log, read from the disk. Changes nothing. No
 * segment may be retired meanwhile; commits may go on: what is behind `settledSeq`, the last commit
 * that is synced for certain, may be half written at this moment and says nothing.
 */
export async function verifyShared(
  vfs: Vfs,
  path: string,
  checksum: Checksum,
  current: Identity,
  durableSeq: number,
  settledSeq: number
): Promise<Finding[]> {
  const source = {
    vfs,
    directory: `${path}/${walName}`,
    storeId: Buffer.from(current.storeId, 'hex'),
    checksum
  }
  const witness = {
    ...current.log,
    syncedSeq: current.syncedSeq,
    epoch: current.epoch,
    durableSeq
  }
  const { losses, findings } = await inspectLog(source, witness)
  return [
    ...verifyIdentity(vfs, path, checksum, current),
    // An unfinished write at the very end is what a crash leaves.
    ...losses
      .filter(({ reason, firstSeq }) => reason !== 'torn-tail' && firstSeq <= settledSeq)
      .map(lossFinding),
    ...findings.filter(({ firstSeq }) => firstSeq <= settledSeq).map(logFinding)
  ]
}

function verifyIdentity(vfs: Vfs, path: string, checksum: Checksum, current: Identity): Finding[] {
  const loaded = loadIdentity(vfs, path, checksum)
  const findings: Finding[] = (loaded?.warnings ?? []).map((message) => ({
    severity: 'warning',
    kind: 'identity-slot',
    message,
    path
  }))
  if (loaded?.identity.storeId !== current.storeId) {
    const message = `the identity slots of ${path} are gone or were replaced while it was open`
    findings.push({ severity: 'error', kind: 'identity-missing', message, path })
  }
  return findings
}

function lossFinding({ reason, path, offset, firstSeq, lastSeq }: LogLoss): Finding {
  const message = `log, ${reason}: commits ${firstSeq} to ${lastSeq} cannot be read`
  return { severity: 'error', kind: `log-${reason}`, message, path, offset, firstSeq, lastSeq }
}

function logFinding({ kind, path, offset, firstSeq, lastSeq }: LogFinding): Finding {
  const message = `log, ${kind}: commits ${firstSeq} to ${lastSeq}; nothing is lost by it`
  return { severity: 'warning', kind: `log-${kind}`, message, path, offset, firstSeq, lastSeq }
}
