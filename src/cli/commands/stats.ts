import type { Command } from 'commander'
import { formatBytes, formatDuration, table } from '../output.js'
import type { Host } from '../session.js'
import { directoryBytes, withStore } from '../store-access.js'

export function statsCommand(host: Host): Command {
  return host
    .command('stats STORE', 'print figures of the store: keys, sizes, log, what opening did', [
      'kintsugi stats ./cities',
      'kintsugi stats ./cities --json'
    ])
    .action(
      host.action(async (session, [path]) => {
        const { stats, recovery } = await withStore(
          session,
          path,
          { readOnly: true },
          async (store) => ({ stats: store.stats(), recovery: store.recovery })
        )
        const diskBytes = await directoryBytes(path)
        await session.out.result(
          () => ({ store: path, diskBytes, stats, recovery }),
          () => {
            const { style } = session
            const opening = {
              'clean close before': recovery.clean ? 'yes' : 'no',
              'commits replayed': recovery.replayedCommits,
              'torn bytes dropped': recovery.droppedBytes,
              took: formatDuration(recovery.durationMs)
            }
            // Most counters are of a running program and 0 here; JSON has them all.
            const figures = Object.entries({ diskBytes, ...stats }).filter(([, value]) => value > 0)
            return (
              `${style.strong(path)}\n${table(figures.map(statsRow))}` +
              `${style.strong('opening')}\n${table(Object.entries(opening))}`
            )
          }
        )
        return undefined
      })
    )
}

/** `fileBytes: 8192` as "file" and "8.0 KiB"; other figures as they are, in words. */
function statsRow([name, value]: [string, number]): [string, string | number] {
  const words = name.replace(/([A-Z])/g, (letter) => ` ${letter.toLowerCase()}`)
  return name.endsWith('Bytes') ? [words, formatBytes(value)] : [words, value]
}
