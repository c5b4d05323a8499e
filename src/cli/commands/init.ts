import { Option, type Command } from 'commander'
import { wholeNumber } from '../number-options.js'
import type { Host } from '../session.js'
import { withStore } from '../store-access.js'

interface InitOptions {
  readonly backend: 'btree'
  readonly pageBytes?: number
}

export function initCommand(host: Host): Command {
  return host
    .command('init STORE', 'create an empty store', [
      'kintsugi init ./cities',
      'kintsugi init ./cities --page-bytes 16384 --json'
    ])
    .addOption(
      new Option('--backend <name>', 'how data is kept on disk').choices(['btree']).default('btree')
    )
    .option(
      '--page-bytes <bytes>',
      'size of a page: 4096 to 65536, a power of two',
      wholeNumber('--page-bytes', 4096)
    )
    .action(
      host.action<InitOptions>(async (session, [path], { backend, pageBytes }) => {
        const options = {
          backend,
          errorIfExists: true,
          ...(pageBytes !== undefined && { pageBytes })
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
