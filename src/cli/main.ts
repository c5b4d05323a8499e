#!/usr/bin/env node
import { readFileSync } from 'node:fs'
import { CommanderError, type Command } from 'commander'
import { exitCodes } from './exit-codes.js'
import { createProgram } from './program.js'
import { Host } from './session.js'

const packageFile = new URL('../../package.json', import.meta.url)
const { version } = JSON.parse(readFileSync(packageFile, 'utf8')) as { version: string }
const json = process.argv.includes('--json')

/** Wrong usage ends with its own code, and in JSON mode is JSON too. */
function prepare(command: Command): void {
  command.exitOverride().showHelpAfterError('Run with --help for usage and examples.')
  if (json) command.showHelpAfterError(false).configureOutput({ writeErr: () => {} })
  for (const child of command.commands) prepare(child)
}

const host = new Host(process)
const program = createProgram(host, version)
prepare(program)
program.parseAsync().catch((error: unknown) => {
  if (!(error instanceof CommanderError)) {
    host.fail(error, json)
  } else if (error.exitCode !== 0 || error.code === 'commander.help') {
    process.exitCode = exitCodes.usage
    const message = error.message.replace(/^error: /, '')
    if (json) process.stderr.write(`${JSON.stringify({ error: { code: 'CLI_USAGE', message } })}\n`)
  }
})
