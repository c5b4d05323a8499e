import { statSync } from 'node:fs'
import { dirname, join, resolve } from 'node:path'
import { Option, type Command } from 'commander'
import { verifyLevels, type Finding, type VerifyLevel } from '../../backend/backend.js'
import { loadTableInspection } from '../../backends/registry.js'
import { Checksum } from '../../codec/checksum.js'
import { KintsugiError } from '../../errors.js'
import { requestOf } from '../../open.js'
import { inspectData } from '../../recovery/inspect.js'
import { loadIdentity, slotNames, type Identity } from '../../store/identity.js'
import { progressOf } from '../../store/work.js'
import { NodeVfs } from '../../vfs/node-vfs.js'
import { fileError } from '../cli-error.js'
import { exitCodes } from '../exit-codes.js'
import { findingCounts, findingJson, findingsText } from '../findings-report.js'
import { formatBytes, formatDuration, plural, table } from '../output.js'
import type { ProgressReporter } from '../progress.js'
import { addProfileOption, type Host, type Session } from '../session.js'
import { profileOf } from '../store-access.js'

interface ValidateOptions {
  readonly level: VerifyLevel
}

/** What was found out of a table, and about it. */
interface TableResult {
  readonly path: string
  readonly meta:
    | { readonly level: number; readonly entries: number; readonly sizeBytes: number }
    | undefined
  readonly findings: readonly Finding[]
}

interface Result {
  readonly tables: readonly TableResult[]
  /** Of the directory: files that are missing, or that nothing explains. */
  readonly findings: readonly Finding[]
}

export function validateSstableCommand(host: Host): Command {
  const command = host.command(
    'validate-sstable TARGET',
    'check a table file, or all of an LSM store, without opening the store',
    [
      'kintsugi validate-sstable ./events',
      'kintsugi validate-sstable ./events --level comprehensive --json',
      'kintsugi validate-sstable ./events/lsm-1/000000000042.sst',
      'kintsugi validate-sstable ./events/quarantine/*/000000000042.sst'
    ]
  )
  return addProfileOption(command)
    .addOption(
      new Option(
        '--level <level>',
        'basic: footers; standard: every block; comprehensive: order, filter and counts too'
      )
        .choices(verifyLevels)
        .default('standard')
    )
    .action(
      host.action<ValidateOptions>(async (session, [target], { level }) => {
        const progress = session.progress('validate-sstable')
        const isFile = isFileAt(target)
        const check = isFile ? checkFile : checkStore
        const result = await check(session, target, level, progress).finally(() => progress.end())
        return report(session, target, isFile, level, result, progress.elapsedMs)
      })
    )
}

function isFileAt(target: string): boolean {
  try {
    return statSync(target).isFile()
  } catch (error) {
    throw fileError('read', target, error)
  }
}

async function checkStore(
  session: Session,
  path: string,
  level: VerifyLevel,
  progress: ProgressReporter
): Promise<Result> {
  const { checkTableFiles } = await loadTableInspection()
  const request = requestOf(path, { readOnly: true, ...profileOf(session) })
  return inspectData(request, 'lsm', (context) =>
    checkTableFiles(context, level, progressInto(session, progress))
  )
}

async function checkFile(
  session: Session,
  target: string,
  level: VerifyLevel,
  progress: ProgressReporter
): Promise<Result> {
  const { checkTableFile } = await loadTableInspection()
  const vfs = new NodeVfs({ native: true })
  const path = resolve(target)
  const checksum = await Checksum.create()
  const around = storeAround(vfs, path, checksum)
  const backend = around?.identity?.backend
  if (around !== undefined && backend !== undefined && backend !== 'lsm') {
    throw new KintsugiError(
      'KINTSUGI_BACKEND_MISMATCH',
      `${path} is no table of an LSM store: it lies in one with backend '${backend}', which ` +
        `\`kintsugi validate ${around.directory}\` checks`,
      { path }
    )
  }
  const storeId = around?.identity && Buffer.from(around.identity.storeId, 'hex')
  const file = { vfs, path, checksum, storeId }
  if (file.storeId === undefined) {
    session.note('the file lies in no store, so it is only checked against itself')
  }
  const report = await checkTableFile(file, level, progressInto(session, progress))
  return { tables: [report], findings: [] }
}

interface StoreAround {
  readonly directory: string
  /** Undefined where it cannot be read. */
  readonly identity: Identity | undefined
}

/** The store that the file lies in, in quarantine say; undefined where there is none. */
function storeAround(vfs: NodeVfs, path: string, checksum: Checksum): StoreAround | undefined {
  for (let at = dirname(path); ; at = dirname(at)) {
    if (slotNames.some((slot) => vfs.statSync(join(at, slot)) !== undefined)) {
      return { directory: at, identity: loadIdentity(vfs, at, checksum)?.identity }
    }
    if (dirname(at) === at) return undefined
  }
}

function progressInto({ signal }: Session, progress: ProgressReporter) {
  return progressOf({
    signal,
    onProgress: (done, total, unit) =>
      progress.update({ done, unit, fraction: total > 0 ? done / total : undefined })
  })
}

async function report(
  session: Session,
  target: string,
  isFile: boolean,
  level: VerifyLevel,
  { tables, findings }: Result,
  elapsedMs: number
): Promise<number | undefined> {
  const { style } = session
  const all = [...findings, ...tables.flatMap((one) => one.findings)]
  const { errors, warnings } = findingCounts(all)
  await session.out.result(
    () => ({
      [isFile ? 'file' : 'store']: target,
      level,
      ok: errors === 0,
      errors,
      warnings,
      tables: tables.map(tableJson),
      findings: findings.map(findingJson),
      elapsedMs: Math.round(elapsedMs)
    }),
    () => {
      const took = style.faint(`(${level} check, ${formatDuration(elapsedMs)})`)
      const counts = `${plural(errors, 'error')}, ${plural(warnings, 'warning')}`
      const verdict =
        all.length === 0
          ? `${style.good('ok')} ${plural(tables.length, 'table')}, no damage found ${took}\n`
          : `${findingsText(all, style)}${plural(tables.length, 'table')}, ${counts} ${took}\n`
      const next =
        errors > 0 && !isFile
          ? `next: kintsugi repair ${target} --dry-run says what can be saved\n`
          : ''
      return (isFile ? table(tables.map(tableRow)) : '') + verdict + next
    }
  )
  return errors > 0 ? exitCodes.damage : undefined
}

function tableJson({ path, meta, findings }: TableResult): Record<string, unknown> {
  const { level, entries, sizeBytes } = meta ?? {}
  return { path, level, entries, sizeBytes, findings: findings.map(findingJson) }
}

function tableRow({ path, meta }: TableResult): string[] {
  if (meta === undefined) return [path]
  const { level, entries, sizeBytes } = meta
  return [path, `level ${level}`, plural(entries, 'entry', 'entries'), formatBytes(sizeBytes)]
}
