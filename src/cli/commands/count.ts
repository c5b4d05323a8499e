import type { Command } from 'commander'
import { addRangeOptions, parseRange, type RangeOptions } from '../key-options.js'
import type { Host } from '../session.js'
import { withStore } from '../store-access.js'

export function countCommand(host: Host): Command {
  const command = host.command('count STORE', 'count the keys of a range, by reading them', [
    'kintsugi count ./cities',
    'kintsugi count ./routes --prefix 2B --parts',
    'kintsugi count ./cities --gte 3 --lt 4 --json'
  ])
  return addRangeOptions(command).action(
    host.action<RangeOptions>(async (session, [path], options) => {
      const progress = session.progress('count')
      let count = 0
      await withStore(session, path, { readOnly: true }, async (store) => {
        const keys = store.keys({ ...parseRange(options), signal: session.signal })
        for await (const _ of keys) {
          count++
          if (count % 50_000 === 0)
            progress.update({ done: count, unit: 'keys', fraction: undefined })
        }
      }).finally(() => progress.end())
      await session.out.result(
        () => ({ count }),
        () => String(count)
      )
      return undefined
    })
  )
}
