import { Option, type Command } from 'commander'
import { byteEncodings, jsonBytes, type ByteEncoding } from '../byte-text.js'
import { CliError } from '../cli-error.js'
import { addKeyOptions, keyJson, parseKey, showKey, type KeyOptions } from '../key-options.js'
import type { Host } from '../session.js'
import { withStore } from '../store-access.js'

interface GetOptions extends KeyOptions {
  readonly valueEncoding?: ByteEncoding
}

export function getCommand(host: Host): Command {
  const command = host.command('get STORE KEY', 'print the value of a key', [
    'kintsugi get ./cities 3040051',
    'kintsugi get ./routes 2B,AER,KZN --parts',
    'kintsugi get ./blobs 00ff --key-encoding hex --value-encoding base64',
    'kintsugi get ./blobs logo > logo.png        # the bytes as they are',
    'kintsugi get ./cities 999 || echo absent    # exit code 5'
  ])
  return addKeyOptions(command)
    .addOption(
      new Option(
        '--value-encoding <encoding>',
        'print the value as text of this kind; the bytes as they are without it'
      ).choices(byteEncodings)
    )
    .action(
      host.action<GetOptions>(async (session, [path, keyText], options) => {
        const key = parseKey(keyText, options)
        const value = await withStore(session, path, { readOnly: true }, (store) => store.get(key))
        if (value === undefined) {
          throw new CliError('CLI_KEY_ABSENT', `the key ${showKey(key, options, 80)} is not there`)
        }
        const { out } = session
        const encoding = options.valueEncoding
        if (out.json) {
          const json = {
            ...keyJson(key, options),
            ...jsonBytes('value', value, encoding ?? 'auto')
          }
          await out.write(`${JSON.stringify(json)}\n`)
        } else if (encoding !== undefined) {
          await out.write(`${value.toString(encoding)}\n`)
        } else {
          await out.write(value)
          // For eyes only: a file or another program gets exactly the value.
          if (out.isTerminal) await out.write('\n')
        }
        return undefined
      })
    )
}
