import { Command, Option } from 'commander'
import { profileNames, type ProfileName } from '../options.js'
import { CliError } from './cli-error.js'
import { exitCodes, exitCodeOf } from './exit-codes.js'
import { commandMessage, nextStep } from './failure.js'
import { Interruption } from './interruption.js'
import { errorJson, errorText, Output, styleFor, type Style } from './output.js'
import { ProgressReporter, progressModes, type ProgressMode } from './progress.js'

/** What a command works with: where to speak, and when to stop. */
export interface Session {
  readonly out: Output
  /** Style for the result; `errorStyle` for what goes to the error stream. */
  readonly style: Style
  readonly signal: AbortSignal
  /** What stores are opened with; undefined: nothing was said. */
  readonly profile: ProfileName | undefined
  readonly stdin: NodeJS.ReadStream
  progress(label: string): ProgressReporter
  /** A remark for people, on the error stream; nothing in JSON mode. */
  note(text: string): void
}

/** Does the work of a command; returns an exit code where it is not 0. */
export type Handler<Options> = (
  session: Session,
  args: readonly string[],
  options: Options
) => Promise<number | undefined>

interface CommonOptions {
  readonly json?: boolean
  readonly progress: ProgressMode
  readonly profile?: ProfileName
}

/** Runs commands in a process: streams, signals, exit codes, and errors as messages. */
export class Host {
  readonly #process: NodeJS.Process
  readonly #interruption: Interruption

  constructor(process: NodeJS.Process) {
    this.#process = process
    this.#interruption = new Interruption(process)
    // Whoever writes next gets the error; until then the command is asked to stop.
    process.stdout.on('error', () => this.#interruption.stop(exitCodes.pipeClosed))
  }

  /** A command with the options that every command has, or every one that works on a store. */
  command(usage: string, summary: string, examples: readonly string[]): Command {
    const name = usage.split(' ', 1)[0]
    const command = new Command(name)
      .summary(summary)
      .description(summary[0].toUpperCase() + summary.slice(1))
      .usage(`${usage} [options]`.slice(name.length + 1))
      .option('--json', 'print the result, or the error, as one JSON document')
      .addOption(
        new Option('--progress <how>', 'progress of long work, on the error stream')
          .choices(progressModes)
          .default('auto')
      )
      .addHelpText('after', ['', 'Examples:', ...examples.map((line) => `  $ ${line}`)].join('\n'))
    const words = usage.split(' ').slice(1)
    for (const word of words) command.argument(argumentOf(word))
    return words.includes('STORE') ? addProfileOption(command) : command
  }

  /** The commander action that runs a handler. */
  action<Options>(handler: Handler<Options>): (...given: unknown[]) => Promise<void> {
    return async (...given) => {
      const command = given.at(-1) as Command
      const common = command.opts<CommonOptions>()
      const json = common.json === true
      try {
        const args = command.args
        const code = await handler(this.#session(common, json), args, command.opts() as Options)
        this.#process.exitCode = code ?? exitCodes.done
      } catch (error) {
        this.fail(error, json, command)
      }
    }
  }

  #session(common: CommonOptions, json: boolean): Session {
    const { stdout, stderr, stdin, env } = this.#process
    const noColor = (env['NO_COLOR'] ?? '') !== ''
    const style = styleFor(stdout, noColor)
    // In JSON mode a progress line for people would not be expected on any stream.
    const mode = json && common.progress === 'auto' ? 'none' : common.progress
    return {
      out: new Output(stdout, json, style),
      style,
      signal: this.#interruption.signal,
      profile: common.profile,
      stdin,
      progress: (label) => new ProgressReporter(stderr, mode, label),
      note: (text) => {
        if (!json) stderr.write(`${text}\n`)
      }
    }
  }

  /** Prints an error, of a command where there is one, and sets the exit code that belongs to it. */
  fail(error: unknown, json: boolean, command?: Command): void {
    const { signal, exitCode } = this.#interruption
    const aborted = signal.aborted && isAbort(error)
    // The reader has what it wanted, as in `kintsugi scan STORE | head`: nothing to tell anybody.
    if (isClosedPipe(error) || (aborted && exitCode === exitCodes.pipeClosed)) {
      this.#process.exitCode = exitCodes.pipeClosed
      return
    }
    this.#process.exitCode = aborted ? exitCode : exitCodeOf(error)
    this.#print(aborted && !(error instanceof CliError) ? interruption() : error, json, command)
  }

  #print(error: unknown, json: boolean, command: Command | undefined): void {
    const { stderr, env } = this.#process
    const said = error instanceof Error ? error.message : String(error)
    const message = commandMessage(said, command)
    if (json) {
      stderr.write(`${JSON.stringify({ error: errorJson(error, message) })}\n`)
    } else {
      const style = styleFor(stderr, (env['NO_COLOR'] ?? '') !== '')
      stderr.write(errorText(error, message, nextStep(error, command), style))
    }
  }
}

export function addProfileOption(command: Command): Command {
  return command.addOption(
    new Option('--profile <name>', 'for a small or a troubled machine').choices(profileNames)
  )
}

function isAbort(error: unknown): boolean {
  const { name, code } = error as { name?: string; code?: string }
  return name === 'AbortError' || code === 'KINTSUGI_ABORTED' || code === 'CLI_INTERRUPTED'
}

function isClosedPipe(error: unknown): boolean {
  const { code } = error as { code?: string }
  return code === 'EPIPE' || code === 'ERR_STREAM_DESTROYED'
}

function interruption(): CliError {
  return new CliError('CLI_INTERRUPTED', 'interrupted; the store is closed and intact')
}

/** `STORE` is required, `[FILE]` is not, `KEY...` may be repeated. */
function argumentOf(word: string): string {
  return word.startsWith('[') ? word.toLowerCase() : `<${word.toLowerCase()}>`
}
