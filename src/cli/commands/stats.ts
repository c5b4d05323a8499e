import type { Command } from 'commander'
import type { Host } from '../session.js'
import { levelsOf, ratiosOf, statsText } from '../stats-report.js'
import { directoryBytes, withStore } from '../store-access.js'

export function statsCommand(host: Host): Command {
  return host
    .command('stats STORE', 'print figures of the store: keys, sizes, levels, what opening did', [
      'kintsugi stats ./cities',
      'kintsugi stats ./events --json'
    ])
    .addHelpText(
      'after',
      `
Read amplification (read amp): tables that a read may have to look into. Write amplification: bytes
written to tables for each byte that came from memory; like the rates below, it counts from the
opening on, so here – stands for it. A program of yours gets its own from store.stats().`
    )
    .action(
      host.action(async (session, [path]) => {
        const { backend, stats, recovery } = await withStore(
          session,
          path,
          { readOnly: true },
          async (store) => ({
            backend: store.backendName,
            stats: store.stats(),
            recovery: store.recovery
          })
        )
        const diskBytes = await directoryBytes(path)
        const levels = levelsOf(stats)
        await session.out.result(
          () => ({
            store: path,
            backend,
            diskBytes,
            stats,
            ...(levels.length > 0 && { levels, ...ratiosOf(stats) }),
            recovery
          }),
          () => statsText({ path, backend, diskBytes, stats, recovery }, session.style)
        )
        return undefined
      })
    )
}
