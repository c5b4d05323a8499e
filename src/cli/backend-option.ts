import { Option, type Command } from 'commander'
import { backendNames, type BackendName } from '../backends/registry.js'

export interface BackendOption {
  readonly backend?: BackendName
}

/** For commands that create a store. */
export function addBackendOption(
  command: Command,
  description = 'how a new store keeps its data; btree without it'
): Command {
  return command.addOption(new Option('--backend <name>', description).choices(backendNames))
}
