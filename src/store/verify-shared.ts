import type { Finding } from '../backend/backend.js'
import type { Checksum } from '../codec/checksum.js'
import type { Vfs } from '../vfs/vfs.js'
import { loadIdentity, type Identity } from './identity.js'

/** Checks what every backend shares: the identity slots. Changes nothing. */
export async function verifyShared(
  vfs: Vfs,
  path: string,
  checksum: Checksum,
  current: Identity
): Promise<Finding[]> {
  const findings: Finding[] = []
  const loaded = loadIdentity(vfs, path, checksum)
  for (const message of loaded?.warnings ?? []) {
    findings.push({ severity: 'warning', kind: 'identity-slot', message, path })
  }
  if (loaded?.identity.storeId !== current.storeId) {
    findings.push({
      severity: 'error',
      kind: 'identity-missing',
      message: `the identity slots of ${path} are gone or were replaced while the store was open`,
      path
    })
  }
  return findings
}
