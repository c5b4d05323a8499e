import type { BackendContext, Finding, Progress, VerifyLevel } from '../../../backend/backend.js'
import { formatKey } from '../../../base/bytes.js'
import { isBelow } from '../../../memtable/key-span.js'
import type { Version } from '../manifest/version.js'
import { tableName, type TableMeta } from '../table-meta.js'
import { checkTable } from '../table/table-check.js'

/**
 * Checks the tables of a version: `basic` that they are there, with their sizes and footers, and that
 * levels below the first do not overlap; beyond it each table by itself.
 */
export async function checkTables(
  context: BackendContext,
  version: Version,
  level: VerifyLevel,
  progress: Progress
): Promise<Finding[]> {
  const { directory, storeId, checksum } = context
  const findings = overlapsIn(version, directory)
  const tables = version.tables()
  let done = 0
  for (const table of tables) {
    const path = `${directory}/${tableName(table.number)}`
    findings.push(
      ...(await checkTable(context.vfs, path, table, { storeId, checksum }, level, progress))
    )
    progress.report(done++, tables.length, 'tables')
  }
  progress.report(done, tables.length, 'tables')
  return findings
}

function overlapsIn(version: Version, directory: string): Finding[] {
  const findings: Finding[] = []
  for (const [level, tables] of version.levels.entries()) {
    for (let i = 1; level > 0 && i < tables.length; i++) {
      const [before, table] = [tables[i - 1], tables[i]]
      if (!isBelow(table.low, before.high)) continue
      findings.push(overlap(level, before, table, `${directory}/${tableName(table.number)}`))
    }
  }
  return findings
}

function overlap(level: number, before: TableMeta, table: TableMeta, path: string): Finding {
  return {
    severity: 'error',
    kind: 'overlapping-tables',
    message:
      `tables ${before.number} and ${table.number} of level ${level} both claim the keys from ` +
      `${formatKey(table.low)} on; run a repair`,
    path,
    lowKey: table.low,
    ...(before.high !== undefined && { highKey: before.high })
  }
}
