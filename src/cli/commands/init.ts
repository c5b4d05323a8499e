import type { Command } from 'commander'
import type { BackendName } from '../../backends/registry.js'
import { addBackendOption, type BackendOption } from '../backend-option.js'
import { usageError } from '../cli-error.js'
import { powerOfTwo } from '../number-options.js'
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
      powerOfTwo('--page-bytes', 4096, 65_536)
    )
    .option(
      '--block-bytes <bytes>',
      'lsm: size of a block of a table, 1024 to 32768, a power of two',
      powerOfTwo('--block-bytes', 1024, 32_768)
    )
    .action(
      host.action<InitOptions>(async (session, [path], given) => {
        const { backend = 'btree', pageBytes, blockBytes } = given
        refuseForeign('--page-bytes', pageBytes, 'btree', backend)
        refuseForeign('--block-bytes', blockBytes, 'lsm', backend)
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

/** The store itself leaves out what its backend has no use for; given here, it is a mistake. */
function refuseForeign(
  name: string,
  value: number | undefined,
  backend: BackendName,
  chosen: BackendName
): void {
  if (value === undefined || chosen === backend) return
  throw usageError(`${name} is for --backend ${backend}, and the new store has ${chosen}`)
}
