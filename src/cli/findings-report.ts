import type { Finding } from '../backend/backend.js'
import { formatKey } from '../base/bytes.js'
import { KintsugiError } from '../errors.js'
import { showBytes } from './byte-text.js'
import { plural, type Style } from './output.js'

/** How many findings are printed for people; JSON has all of them. */
const maxShown = 50

export function findingJson(finding: Finding): Record<string, unknown> {
  const { lowKey, highKey, ...rest } = finding
  return {
    ...rest,
    ...(lowKey && { lowKey: Buffer.from(lowKey).toString('hex') }),
    ...(highKey && { highKey: Buffer.from(highKey).toString('hex') })
  }
}

/** Findings one by one, with where they are and which keys they concern. */
export function findingsText(findings: readonly Finding[], style: Style): string {
  const blocks = findings.slice(0, maxShown).map((finding) => findingText(finding, style))
  if (findings.length > maxShown) {
    blocks.push(`and ${plural(findings.length - maxShown, 'further finding')}; see --json\n`)
  }
  return blocks.join('')
}

function findingText(finding: Finding, style: Style): string {
  const { severity, kind, message, path, page, offset, firstSeq, lastSeq, lowKey, highKey } =
    finding
  const mark = severity === 'error' ? style.bad('error') : style.warn('warning')
  const place = [
    path,
    page !== undefined && `page ${page}`,
    offset !== undefined && `offset ${offset}`,
    firstSeq !== undefined && `sequence ${firstSeq} to ${lastSeq ?? 'the end'}`,
    (lowKey || highKey) &&
      `keys ${lowKey ? formatKey(lowKey) : 'from the first'} to ` +
        (highKey ? `below ${formatKey(highKey)}` : 'the last')
  ].filter(Boolean)
  return `${mark} ${style.strong(kind)}: ${message}\n${style.faint(`  ${place.join(', ')}`)}\n`
}

/** A bound of a range of keys in words. */
export function boundText(key: Uint8Array | undefined, otherwise: string): string {
  return key === undefined ? otherwise : showBytes(Buffer.from(key), 40)
}

/** "2 errors, 1 warning". */
export function findingCounts(findings: readonly Finding[]): { errors: number; warnings: number } {
  const errors = findings.filter(({ severity }) => severity === 'error').length
  return { errors, warnings: findings.length - errors }
}

/** Whether an error says that the store is damaged. */
export function isDamage(error: unknown): error is KintsugiError {
  return (
    error instanceof KintsugiError &&
    (error.code === 'KINTSUGI_CORRUPTION' || error.code === 'KINTSUGI_WAL_CORRUPTION')
  )
}

/** Damage that stopped the opening, as a finding beside others. */
export function findingOf({ code, message, facts }: KintsugiError): Finding {
  const { path, offset, page, firstSeq, lastSeq, lowKey, highKey } = facts
  const isLog = code === 'KINTSUGI_WAL_CORRUPTION'
  return {
    severity: 'error',
    kind: isLog ? 'damaged-log' : 'unopenable',
    message,
    path: path ?? (isLog ? 'wal' : ''),
    ...(offset !== undefined && { offset }),
    ...(page !== undefined && { page }),
    ...(firstSeq !== undefined && { firstSeq }),
    ...(lastSeq !== undefined && { lastSeq }),
    ...(lowKey && { lowKey }),
    ...(highKey && { highKey })
  }
}
