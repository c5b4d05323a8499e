import type { Command } from 'commander'
import { exitCodes } from '../exit-codes.js'
import { findingsText } from '../findings-report.js'
import { formatDuration } from '../output.js'
import type { Host } from '../session.js'
import { hasLoss, outcomeLines, reportJson, runRepair } from './repair.js'

interface RebuildOptions {
  readonly dryRun?: boolean
}

export function rebuildManifestCommand(host: Host): Command {
  return host
    .command('rebuild-manifest STORE', 'make the manifest of an LSM store again from its tables', [
      'kintsugi rebuild-manifest ./events --dry-run    # changes nothing',
      'kintsugi rebuild-manifest ./events',
      'kintsugi rebuild-manifest ./events --json > report.json'
    ])
    .option('--dry-run', 'only say what would be saved and what lost')
    .addHelpText(
      'after',
      `
For a manifest or CURRENT that is lost or damaged. Reads what every table says of itself, leaves out
those that a finished compaction has replaced, builds new files beside the old ones, replays the log,
checks the result and swaps it in with one write. The old files go to quarantine/ in the store.
Ends with 3 when anything could not be saved, with 0 otherwise.`
    )
    .action(
      host.action<RebuildOptions>(async (session, [path], { dryRun = false }) => {
        const options = { dryRun, rebuildManifest: true }
        const { report, elapsedMs } = await runRepair(session, path, options)
        const { style } = session
        const took = style.faint(`(${formatDuration(elapsedMs)})`)
        await session.out.result(
          () => reportJson(report),
          () =>
            findingsText(report.findings, style) +
            outcomeLines(report, style, took, 'rebuild-manifest').join('\n')
        )
        return hasLoss(report) ? exitCodes.damage : undefined
      })
    )
}
