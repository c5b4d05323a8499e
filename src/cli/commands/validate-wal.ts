import type { Command } from 'commander'
import type { Finding } from '../../backend/backend.js'
import { findingOf, isDamage } from '../findings-report.js'
import { plural } from '../output.js'
import type { Host, Session } from '../session.js'
import { withStore } from '../store-access.js'
import { reportFindings } from './validate.js'

export function validateWalCommand(host: Host): Command {
  return host
    .command('validate-wal STORE', 'read the whole write-ahead log and check it; changes nothing', [
      'kintsugi validate-wal ./cities',
      'kintsugi validate-wal ./cities --json'
    ])
    .action(
      host.action(async (session, [path]) => {
        const progress = session.progress('validate-wal')
        const findings = await walFindings(session, path)
        return reportFindings(session, path, 'log check', findings, progress.elapsedMs)
      })
    )
}

/** Damage stops the opening, or is among the findings of the check, which reads all of the log. */
async function walFindings(session: Session, path: string): Promise<Finding[]> {
  try {
    return await withStore(session, path, { readOnly: true }, async (store) => {
      const { droppedBytes, replayedCommits } = store.recovery
      if (replayedCommits > 0) {
        session.note(`${plural(replayedCommits, 'commit')} in the log, not yet in the data files`)
      }
      if (droppedBytes > 0) {
        session.note(
          `${plural(droppedBytes, 'byte')} at the end are an unfinished write, which is harmless`
        )
      }
      const findings = await store.verify('basic', { signal: session.signal })
      return findings.filter((finding) => isLogPath(finding.path))
    })
  } catch (error) {
    if (!isDamage(error) || error.code !== 'KINTSUGI_WAL_CORRUPTION') throw error
    return [findingOf(error)]
  }
}

function isLogPath(path: string): boolean {
  return /(^|[\\/])wal([\\/]|$)/.test(path)
}
