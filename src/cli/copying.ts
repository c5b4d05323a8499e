import { KintsugiError } from '../errors.js'
import type { WorkOptions } from '../store/work.js'
import type { TransferReport } from '../transfer/transfer.js'
import { CliError } from './cli-error.js'
import { formatBytes, formatDuration, formatNumber, plural } from './output.js'
import type { Session } from './session.js'

/** What every copy command says of interruption, below its options. */
export const copyHelp = `
Until the copy is complete, durable, and read back with the same SHA-256 on both sides, the
destination is marked as unfinished and does not open. Ended at any moment, by a signal or a power
cut, the command is simply run again and goes on where it was; when the source has changed since, it
begins anew. A destination that holds anything else is refused.`

/** Copies with a progress report, and tells how it went; interrupted, how to go on. */
export async function runCopy(
  session: Session,
  label: string,
  copy: (work: WorkOptions) => Promise<TransferReport>
): Promise<void> {
  const progress = session.progress(label)
  let copied = 0
  let report: TransferReport
  try {
    report = await copy({
      signal: session.signal,
      onProgress: (done, total, unit) => {
        if (unit === 'entries') copied = done
        progress.update({ done, unit, fraction: total > 0 ? done / total : undefined })
      }
    })
  } catch (error) {
    throw isAbort(error) ? interruption(copied) : error
  } finally {
    progress.end()
  }
  await printReport(session, report, progress.elapsedMs)
}

function isAbort(error: unknown): boolean {
  return error instanceof KintsugiError && error.code === 'KINTSUGI_ABORTED'
}

function interruption(entries: number): CliError {
  return new CliError(
    'CLI_INTERRUPTED',
    `interrupted after ${plural(entries, 'entry', 'entries')}; the destination is unfinished, run ` +
      'the same command again to go on',
    { entries }
  )
}

async function printReport(
  { out, style }: Session,
  report: TransferReport,
  elapsedMs: number
): Promise<void> {
  const { source, destination, entries, bytes, digest, resumed, entriesWritten } = report
  const perSecond = Math.round(entriesWritten / Math.max(report.copyMs / 1000, 0.001))
  await out.result(
    () => ({ ...report, elapsedMs: Math.round(elapsedMs) }),
    () =>
      `Copied ${style.strong(plural(entries, 'entry', 'entries'))}, ${formatBytes(bytes)}, ` +
      `from ${source} to ${destination} ` +
      `${style.faint(`(${formatDuration(elapsedMs)}, ${formatNumber(perSecond)} entries/s)`)}\n` +
      (resumed
        ? `${plural(entries - entriesWritten, 'entry', 'entries')} were there already\n`
        : '') +
      `${style.good('ok')} both sides read back the same: SHA-256 ${digest}`
  )
}
