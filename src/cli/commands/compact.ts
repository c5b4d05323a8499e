import type { Command } from 'commander'
import { formatBytes, formatDuration } from '../output.js'
import { addRangeOptions, parseRange, type RangeOptions } from '../key-options.js'
import type { Host } from '../session.js'
import { wholeNumber } from '../number-options.js'
import { directoryBytes, withStore } from '../store-access.js'

interface CompactOptions extends RangeOptions {
  readonly level?: number
}

export function compactCommand(host: Host): Command {
  const command = host.command('compact STORE', 'repack the data and give back free space', [
    'kintsugi compact ./cities',
    'kintsugi compact ./events --level 1    # LSM: from level 1 to level 2',
    'kintsugi compact ./routes --prefix 2B --parts --json'
  ])
  return addRangeOptions(
    command.option(
      '--level <number>',
      'lsm: only tables of this level, into the next; the first is 0',
      wholeNumber('--level', 0)
    )
  ).action(
    host.action<CompactOptions>(async (session, [path], options) => {
      const range = parseRange(options)
      const { level } = options
      const progress = session.progress('compact')
      // Before opening: an open store has log files set aside that are no data.
      const before = await directoryBytes(path)
      await withStore(session, path, { createIfMissing: false }, async (store) => {
        await store.compact({
          ...range,
          ...(level !== undefined && { level }),
          signal: session.signal,
          onProgress: (done, total, unit) =>
            progress.update({ done, unit, fraction: total > 0 ? done / total : undefined })
        })
      }).finally(() => progress.end())
      const after = await directoryBytes(path)
      const { elapsedMs } = progress
      await session.out.result(
        () => ({
          store: path,
          bytesBefore: before,
          bytesAfter: after,
          elapsedMs: Math.round(elapsedMs)
        }),
        () =>
          `Compacted ${path}: ${formatBytes(before)} before, ${formatBytes(after)} after ` +
          session.style.faint(`(${formatDuration(elapsedMs)})`)
      )
      return undefined
    })
  )
}
