import type { Command } from 'commander'
import { migrate } from '../../transfer/migrate.js'
import { addBackendOption, type BackendOption } from '../backend-option.js'
import { usageError } from '../cli-error.js'
import { copyHelp, runCopy } from '../copying.js'
import type { Host } from '../session.js'
import { profileOf } from '../store-access.js'

export function migrateCommand(host: Host): Command {
  const command = host.command(
    'migrate STORE DESTINATION',
    'copy a store into a new one of another backend',
    [
      'kintsugi migrate ./cities ./cities-lsm --backend lsm',
      'kintsugi migrate ./events ./events-btree --backend btree --progress json',
      'kintsugi migrate ./old ./new --backend btree --json'
    ]
  )
  return addBackendOption(command, 'how the new store keeps its data; has to be given')
    .addHelpText('after', `${copyHelp}\nThe source is opened read-only and stays as it is.`)
    .action(
      host.action<BackendOption>(async (session, [source, destination], { backend }) => {
        if (backend === undefined) throw usageError('say what to migrate to: --backend NAME')
        await runCopy(session, 'migrate', (work) =>
          migrate(source, destination, { backend, ...profileOf(session), ...work })
        )
        return undefined
      })
    )
}
