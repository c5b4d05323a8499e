import type { Command } from 'commander'
import { addBackendOption, type BackendOption } from '../backend-option.js'
import { wholeNumber } from '../number-options.js'
import type { Host } from '../session.js'
import { withStore } from '../store-access.js'

interface InitOptions extends BackendOption {
  readonly pageBytes?: number
  readonly blockBytes?: number
}

export function initCommand(host: Host): Command {
  const command = host.command('init STORE', 'create an empty store', [
    'kintsugi init ./cities',
    'kintsugi init ./events --backend lsm',
    'kintsugi init ./cities --page-bytes 16384 --json'
  ])
  return addBackendOption(command)
    .option(
      '--page-bytes <bytes>',
      'btree: size of a page, 4096 to 65536, a power of two',
      wholeNumber('--page-bytes', 4096)
    )
    .option(
      '--block-bytes <bytes>',
      'lsm: size of a block of a table, 1024 to 32768, a power of two',
      wholeNumber('--block-bytes', 1024)
    )
    .action(
      host.action<InitOptions>(async (session, [path], given) => {
        const { backend = 'btree', pageBytes, blockBytes } = given
        const options = {
          backend,
          errorIfExists: true,
          ...(pageBytes !== undefined && { pageBytes }),
          ...(blockBytes !== undefined && { blockBytes })
        }
        await withStore(session, path, options, async () => {
          await session.out.result(
            () => ({ store: path, backend, created: true }),
            () => `Created an empty ${backend} store in ${path}`
          )
        })
        return undefined
      })
    )
}
