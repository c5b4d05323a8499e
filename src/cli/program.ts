import { Command } from 'commander'
import { benchmarkCommand } from './commands/benchmark.js'
import { compactCommand } from './commands/compact.js'
import { countCommand } from './commands/count.js'
import { delCommand } from './commands/del.js'
import { exportManifestCommand } from './commands/export-manifest.js'
import { exportCommand } from './commands/export.js'
import { flushCommand } from './commands/flush.js'
import { getCommand } from './commands/get.js'
import { importCommand } from './commands/import.js'
import { initCommand } from './commands/init.js'
import { migrateCommand } from './commands/migrate.js'
import { putCommand } from './commands/put.js'
import { rebuildManifestCommand } from './commands/rebuild-manifest.js'
import { repairCommand } from './commands/repair.js'
import { scanCommand } from './commands/scan.js'
import { statsCommand } from './commands/stats.js'
import { validateSstableCommand } from './commands/validate-sstable.js'
import { validateCommand } from './commands/validate.js'
import { validateWalCommand } from './commands/validate-wal.js'
import { exitCodeHelp } from './exit-codes.js'
import type { Host } from './session.js'

/** The `kintsugi` command with all of its subcommands. */
export function createProgram(host: Host, version: string): Command {
  const program = new Command('kintsugi')
    .description('An embedded key-value store with recovery at its heart.')
    .usage('COMMAND [arguments] [options]')
    .version(version)
    .helpCommand('help [command]', 'explain a command')
    .addHelpText(
      'after',
      `
Examples:
  $ kintsugi import world-cities.csv ./cities --key geonameid
  $ kintsugi get ./cities 3040051
  $ kintsugi scan ./cities --gte 304 --lt 305
  $ kintsugi validate ./cities --level comprehensive
${exitCodeHelp}`
    )
  const commands = [
    initCommand,
    importCommand,
    exportCommand,
    migrateCommand,
    getCommand,
    putCommand,
    delCommand,
    scanCommand,
    countCommand,
    statsCommand,
    validateCommand,
    validateWalCommand,
    validateSstableCommand,
    exportManifestCommand,
    flushCommand,
    compactCommand,
    repairCommand,
    rebuildManifestCommand,
    benchmarkCommand
  ]
  for (const make of commands) program.addCommand(make(host))
  return program
}
