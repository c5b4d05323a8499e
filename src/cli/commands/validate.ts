import { Option, type Command } from 'commander'
import { verifyLevels, type Finding, type VerifyLevel } from '../../backend/backend.js'
import { exitCodes } from '../exit-codes.js'
import { requestOf } from '../../open.js'
import { inspectStore } from '../../recovery/inspect.js'
import { progressOf, type WorkOptions } from '../../store/work.js'
import {
  findingCounts,
  findingJson,
  findingOf,
  findingsText,
  isDamage
} from '../findings-report.js'
import { formatDuration, plural } from '../output.js'
import type { Host, Session } from '../session.js'
import { profileOf, withStore } from '../store-access.js'

interface ValidateOptions {
  readonly level: VerifyLevel
}

export function validateCommand(host: Host): Command {
  return host
    .command('validate STORE', 'check the store for damage; changes nothing', [
      'kintsugi validate ./cities',
      'kintsugi validate ./cities --level comprehensive --json',
      'kintsugi validate ./cities || kintsugi repair ./cities --dry-run'
    ])
    .addOption(
      new Option(
        '--level <level>',
        'basic: headers and log; standard: every page; comprehensive: contents and order too'
      )
        .choices(verifyLevels)
        .default('standard')
    )
    .action(
      host.action<ValidateOptions>(async (session, [path], { level }) => {
        const progress = session.progress('validate')
        const work: WorkOptions = {
          signal: session.signal,
          onProgress: (done, total, unit) =>
            progress.update({ done, unit, fraction: total > 0 ? done / total : undefined })
        }
        const findings = await check(session, path, level, work).finally(() => progress.end())
        return reportFindings(session, path, `${level} check`, findings, progress.elapsedMs)
      })
    )
}

/** Damage that a store does not open with is a finding like others, and not all there is. */
async function check(
  session: Session,
  path: string,
  level: VerifyLevel,
  work: WorkOptions
): Promise<readonly Finding[]> {
  try {
    return await withStore(session, path, { readOnly: true }, (store) => store.verify(level, work))
  } catch (error) {
    if (!isDamage(error)) throw error
    const request = requestOf(path, { readOnly: true, ...profileOf(session) })
    const others = await inspectStore(request, level, progressOf(work)).catch((second: unknown) => {
      // Without its identity nothing of the store can be looked at.
      throw isDamage(second) ? error : second
    })
    // The error may be one of them, and say how many there are.
    const isAmong = others.some(({ message }) => error.message.startsWith(message))
    return isAmong ? others : [findingOf(error), ...others]
  }
}

/** Prints the outcome of a check; the exit code says whether there is damage. */
export async function reportFindings(
  session: Session,
  path: string,
  what: string,
  findings: readonly Finding[],
  elapsedMs: number
): Promise<number | undefined> {
  const { style } = session
  const { errors, warnings } = findingCounts(findings)
  await session.out.result(
    () => ({
      store: path,
      check: what,
      ok: errors === 0,
      errors,
      warnings,
      findings: findings.map(findingJson),
      elapsedMs: Math.round(elapsedMs)
    }),
    () => {
      const took = style.faint(`(${what}, ${formatDuration(elapsedMs)})`)
      if (findings.length === 0) return `${style.good('ok')} no damage found ${took}`
      const counts = `${plural(errors, 'error')}, ${plural(warnings, 'warning')}`
      const next =
        errors > 0 ? `next: kintsugi repair ${path} --dry-run says what can be saved\n` : ''
      return `${findingsText(findings, style)}${counts} ${took}\n${next}`
    }
  )
  return errors > 0 ? exitCodes.damage : undefined
}
