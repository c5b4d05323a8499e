import type { Command } from 'commander'
import { loadTableInspection } from '../../backends/registry.js'
import { requestOf } from '../../open.js'
import { inspectData } from '../../recovery/inspect.js'
import { utf8Text } from '../byte-text.js'
import { exitCodes } from '../exit-codes.js'
import { boundText, findingCounts, findingJson, findingsText } from '../findings-report.js'
import { formatBytes, formatNumber, plural, table, type Style } from '../output.js'
import type { Host } from '../session.js'
import { profileOf } from '../store-access.js'

type Inspection = Awaited<ReturnType<typeof loadTableInspection>>
type VersionReport = Awaited<ReturnType<Inspection['describeVersion']>>
type TableMeta = VersionReport['levels'][number][number]

export function exportManifestCommand(host: Host): Command {
  return host
    .command('export-manifest STORE', 'print which tables an LSM store is made of', [
      'kintsugi export-manifest ./events',
      'kintsugi export-manifest ./events --json > manifest.json'
    ])
    .addHelpText(
      'after',
      `
Works on a store that does not open as well: where the manifest cannot be read, every table is listed
as its own footer describes it. Ends with 3 then, and where tables are missing.`
    )
    .action(
      host.action(async (session, [path]) => {
        const { describeVersion } = await loadTableInspection()
        const request = requestOf(path, { readOnly: true, ...profileOf(session) })
        const version = await inspectData(request, 'lsm', describeVersion)
        await session.out.result(
          () => ({ store: path, ...versionJson(version) }),
          () => versionText(path, version, session.style)
        )
        return findingCounts(version.findings).errors > 0 ? exitCodes.damage : undefined
      })
    )
}

function versionJson(version: VersionReport): Record<string, unknown> {
  const { source, durableSeq, nextTable, levels, leftovers, findings } = version
  return {
    source,
    durableSeq: durableSeq ?? null,
    nextTable: nextTable ?? null,
    levels: levels.map((tables, level) => ({ level, tables: tables.map(tableJson) })),
    leftovers,
    findings: findings.map(findingJson)
  }
}

/** Keys stand as text or base64, as everywhere; `high` is null for a span without an end. */
function tableJson({ low, high, ...rest }: TableMeta): Record<string, unknown> {
  return { ...rest, ...boundJson('low', low), ...(high ? boundJson('high', high) : { high: null }) }
}

function boundJson(name: 'low' | 'high', key: Uint8Array): Record<string, string> {
  const bytes = Buffer.from(key)
  const text = utf8Text(bytes)
  return text === undefined ? { [`${name}Base64`]: bytes.toString('base64') } : { [name]: text }
}

function versionText(path: string, version: VersionReport, style: Style): string {
  const { source, durableSeq, nextTable, levels, leftovers, findings } = version
  const tables = levels.flat()
  const bytes = tables.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0)
  const from =
    source === 'manifest'
      ? `durable up to sequence number ${formatNumber(durableSeq ?? 0)}, next table ${nextTable}`
      : 'from footers: the manifest cannot be read'
  const head = ['level', 'table', 'size', 'entries', 'deletes', 'sequence numbers', 'keys']
  const rows = tables.map((meta) => [
    String(meta.level),
    String(meta.number),
    formatBytes(meta.sizeBytes),
    formatNumber(meta.entries),
    formatNumber(meta.deletes),
    `${meta.minSeq}–${meta.maxSeq}`,
    `${boundText(meta.low, '')} – ${boundText(meta.high, 'the end')}`
  ])
  const listed = tables.length > 0 ? table([head, ...rows]) : ''
  const replaced =
    leftovers.length > 0 ? `${plural(leftovers.length, 'replaced table')} to be removed\n` : ''
  return (
    `${style.strong(path)} ${plural(tables.length, 'table')}, ${formatBytes(bytes)} ` +
    `${style.faint(`(${from})`)}\n${listed}${replaced}${findingsText(findings, style)}`
  )
}
