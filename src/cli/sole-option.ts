import { Option, type Command } from 'commander'

/** Options that say nothing of what a command works on. */
const general = ['json', 'progress', 'profile']

/** Adds an option that takes the place of all others of the command, but for those in `besides`. */
export function addSoleOption(
  command: Command,
  flags: string,
  description: string,
  besides: readonly string[] = []
): Command {
  const replaced = command.options
    .map((option) => option.attributeName())
    .filter((name) => !general.includes(name) && !besides.includes(name))
  return command.addOption(new Option(flags, description).conflicts(replaced))
}
