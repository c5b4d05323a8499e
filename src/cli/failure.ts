import { resolve, sep } from 'node:path'
import type { Command } from 'commander'
import { KintsugiError } from '../errors.js'

/** Commands that would have worked on an empty store as well. */
const writers = ['import', 'put']

/** An error's message with options as the command spells them, which the store cannot know. */
export function commandMessage(message: string, command: Command | undefined): string {
  return message.replaceAll(/option '(\w+)'/g, (whole, name: string) => {
    const option = command?.options.find((each) => each.attributeName() === name)
    return option?.long ? `option '${option.long}'` : whole
  })
}

/** What to do next, where it is another command; undefined where the message says all there is. */
export function nextStep(error: unknown, command: Command | undefined): string | undefined {
  const store = command && storeArgument(command)
  if (store === undefined || !(error instanceof KintsugiError)) return undefined
  switch (error.code) {
    case 'KINTSUGI_CORRUPTION':
    case 'KINTSUGI_WAL_CORRUPTION':
      if (command?.name() === 'repair' || !isInside(error.facts.path, store)) return undefined
      return `next: kintsugi repair ${store} --dry-run says what can be saved, and changes nothing`
    case 'KINTSUGI_STORE_MISSING':
      // To all others a path without a store is a misspelled one.
      if (!writers.includes(command?.name() ?? '')) return undefined
      return `next: look at the path, or kintsugi init ${store} creates a store there`
    default:
      return undefined
  }
}

/** The store that the command is about; of two the source. */
function storeArgument(command: Command): string | undefined {
  const index = command.registeredArguments.findIndex((argument) =>
    ['store', 'target'].includes(argument.name())
  )
  return command.args[index]
}

/** What is wrong with the directory as a whole, or in another one, is not for a repair of it. */
function isInside(path: string | undefined, store: string): boolean {
  return path === undefined || resolve(path).startsWith(resolve(store) + sep)
}
