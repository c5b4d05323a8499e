import { Option, type Command } from 'commander'
import { byteEncodings, jsonBytes, showBytes, type ByteEncoding } from '../byte-text.js'
import { addRangeOptions, keyJson, parseRange, showKey, type RangeOptions } from '../key-options.js'
import { wholeNumber } from '../number-options.js'
import type { Host } from '../session.js'
import { withStore } from '../store-access.js'

interface ScanOptions extends RangeOptions {
  readonly limit?: number
  readonly reverse?: boolean
  readonly keysOnly?: boolean
  readonly encoding: ByteEncoding | 'auto'
}

export function scanCommand(host: Host): Command {
  const command = host.command('scan STORE', 'print the entries of a range, for reading', [
    'kintsugi scan ./cities --gte 304 --lt 305 --limit 20',
    'kintsugi scan ./routes --prefix 2B --parts',
    'kintsugi scan ./cities --reverse --limit 1 --json    # one JSON object per line',
    'kintsugi scan ./blobs --keys-only --prefix 00 --key-encoding hex'
  ])
  return addRangeOptions(command)
    .option('--limit <count>', 'at most this many entries', wholeNumber('--limit', 0))
    .option('--reverse', 'from the last key to the first')
    .option('--keys-only', 'leave out the values')
    .addOption(
      new Option('--encoding <encoding>', 'how keys and values are written in JSON')
        .choices(['auto', ...byteEncodings])
        .default('auto')
    )
    .action(
      host.action<ScanOptions>(async (session, [path], options) => {
        await withStore(session, path, { readOnly: true }, async (store) => {
          const { out, signal, style } = session
          const { encoding, keysOnly = false } = options
          const entries = store.entries({
            ...parseRange(options),
            limit: options.limit,
            reverse: options.reverse,
            signal
          })
          const width = out.columns
          for await (const [key, value] of entries) {
            if (out.json) {
              const json = { ...keyJson(key, options, encoding) }
              if (!keysOnly) Object.assign(json, jsonBytes('value', value, encoding))
              await out.write(`${JSON.stringify(json)}\n`)
              continue
            }
            const shownKey = showKey(key, options, width)
            // Two columns; on a terminal cut to one line each.
            const room = Math.max(20, width - Math.max(shownKey.length, 16) - 2)
            const shownValue = keysOnly ? '' : `  ${showBytes(value, room)}`
            await out.write(`${style.strong(shownKey.padEnd(keysOnly ? 0 : 16))}${shownValue}\n`)
          }
        })
        return undefined
      })
    )
}
