import type { Command } from 'commander'
import type { DamagedRange } from '../../backend/backend.js'
import { formatKey } from '../../base/bytes.js'
import { repair } from '../../open.js'
import type { RepairReport } from '../../recovery/repair.js'
import { exitCodes } from '../exit-codes.js'
import { findingJson, findingsText } from '../findings-report.js'
import { profileOf } from '../store-access.js'
import { formatDuration, formatNumber, plural, type Style } from '../output.js'
import type { Host, Session } from '../session.js'

interface RepairOptions {
  readonly dryRun?: boolean
}

export function repairCommand(host: Host): Command {
  return host
    .command('repair STORE', 'save what can be saved of a damaged store', [
      'kintsugi repair ./cities --dry-run    # says what it would do, changes nothing',
      'kintsugi repair ./cities',
      'kintsugi repair ./cities --json > report.json'
    ])
    .option('--dry-run', 'only say what could be saved and what is lost')
    .addHelpText(
      'after',
      `
Reads everything that proves itself, builds new files beside the damaged ones, checks them, and
swaps them in with one write. The damaged files go to quarantine/ in the store; nothing is deleted.
Ends with 3 when anything could not be saved, with 0 otherwise.`
    )
    .action(
      host.action<RepairOptions>(async (session, [path], { dryRun = false }) => {
        const { report, elapsedMs } = await runRepair(session, path, { dryRun })
        await session.out.result(
          () => reportJson(report),
          () => reportText(report, session, elapsedMs)
        )
        return hasLoss(report) || (dryRun && !isHealthy(report)) ? exitCodes.damage : undefined
      })
    )
}

/** Repairs with a progress report. */
export async function runRepair(
  session: Session,
  path: string,
  options: { readonly dryRun: boolean; readonly rebuildManifest?: boolean }
): Promise<{ report: RepairReport; elapsedMs: number }> {
  const progress = session.progress(options.dryRun ? 'repair (dry run)' : 'repair')
  const report = await repair(path, {
    ...options,
    ...profileOf(session),
    signal: session.signal,
    onProgress: (done, total, unit) =>
      progress.update({ done, unit, fraction: total > 0 ? done / total : undefined })
  }).finally(() => progress.end())
  return { report, elapsedMs: progress.elapsedMs }
}

function isHealthy({ findings, rebuilt }: RepairReport): boolean {
  return !rebuilt && findings.every(({ severity }) => severity !== 'error')
}

export function hasLoss({ lost, possiblyStale, lostCommits }: RepairReport): boolean {
  return lost.length + possiblyStale.length + lostCommits.length > 0
}

export function reportJson(report: RepairReport): Record<string, unknown> {
  return {
    ...report,
    healthy: isHealthy(report) && !hasLoss(report),
    quarantine: report.quarantine ?? null,
    findings: report.findings.map(findingJson),
    lost: report.lost.map(rangeJson),
    possiblyStale: report.possiblyStale.map(rangeJson)
  }
}

function rangeJson({ lowKey, highKey, reason }: DamagedRange): Record<string, unknown> {
  return {
    lowKey: lowKey ? Buffer.from(lowKey).toString('hex') : null,
    highKey: highKey ? Buffer.from(highKey).toString('hex') : null,
    reason
  }
}

function reportText(report: RepairReport, { style }: Session, elapsedMs: number): string {
  const { path, findings } = report
  const took = style.faint(`(${formatDuration(elapsedMs)})`)
  if (isHealthy(report) && !hasLoss(report)) {
    return `${style.good('ok')} ${path} is not damaged; nothing to repair ${took}`
  }
  return [findingsText(findings, style).trimEnd(), ...outcomeLines(report, style, took)].join('\n')
}

/** What was or would be saved and lost, and what to do next. */
export function outcomeLines(
  report: RepairReport,
  style: Style,
  took: string,
  command = 'repair'
): string[] {
  const { path, dryRun, entries, lost, possiblyStale, lostCommits } = report
  const saved = dryRun ? 'could be saved' : 'saved'
  const lines = [
    `${style.strong(plural(entries, 'entry', 'entries'))} ${saved} ${took}`,
    ...lost.map((range) => `${style.bad('lost')} ${rangeText(range)}`),
    ...possiblyStale.map((range) => `${style.warn('possibly out of date')} ${rangeText(range)}`),
    ...lostCommits.map(
      ({ firstSeq, lastSeq, reason }) =>
        `${style.bad('lost')} commits ${formatNumber(firstSeq)} to ${formatNumber(lastSeq)}: ${reason}`
    )
  ]
  if (!hasLoss(report)) lines.push(`${style.good('ok')} nothing is lost`)
  if (report.quarantine !== undefined) lines.push(`damaged files are kept in ${report.quarantine}`)
  lines.push(`next: kintsugi ${dryRun ? command : 'validate'} ${path}`)
  return lines
}

function rangeText({ lowKey, highKey, reason }: DamagedRange): string {
  const from = lowKey ? formatKey(lowKey) : 'the first'
  const to = highKey ? `below ${formatKey(highKey)}` : 'the last'
  return `keys from ${from} to ${to}: ${reason}`
}
