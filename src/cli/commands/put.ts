import { readFile } from 'node:fs/promises'
import { buffer } from 'node:stream/consumers'
import { Option, type Command } from 'commander'
import { byteEncodings, parseBytes, type ByteEncoding } from '../byte-text.js'
import { fileError, usageError } from '../cli-error.js'
import { durabilities, type Durability } from '../../options.js'
import { addKeyOptions, keyJson, parseKey, showKey, type KeyOptions } from '../key-options.js'
import { plural } from '../output.js'
import type { Host, Session } from '../session.js'
import { withStore } from '../store-access.js'

interface PutOptions extends KeyOptions {
  readonly valueEncoding: ByteEncoding
  readonly valueFile?: string
  readonly durability: Durability
}

export function putCommand(host: Host): Command {
  const command = host.command('put STORE KEY [VALUE]', 'set the value of a key', [
    'kintsugi put ./cities 1 "Atlantis,,,1"',
    'kintsugi put ./blobs logo --value-file logo.png',
    'echo -n hello | kintsugi put ./blobs greeting --value-file -',
    'kintsugi put ./blobs 00ff cafe --key-encoding hex --value-encoding hex'
  ])
  return addKeyOptions(command)
    .addOption(
      new Option('--value-encoding <encoding>', 'how VALUE is written')
        .choices(byteEncodings)
        .default('utf8')
    )
    .option('--value-file <file>', 'take the value from a file, - for standard input')
    .addOption(
      new Option('--durability <mode>', 'when the write counts')
        .choices(durabilities)
        .default('sync')
    )
    .action(
      host.action<PutOptions>(async (session, [path, keyText, valueText], options) => {
        const key = parseKey(keyText, options)
        const value = await readValue(session, valueText, options)
        const { durability } = options
        await withStore(session, path, { createIfMissing: false }, (store) =>
          store.put(key, value, { durability })
        )
        await session.out.result(
          () => ({ ...keyJson(key, options), valueBytes: value.length, durability }),
          () => `Put ${plural(value.length, 'byte')} under ${showKey(key, options, 80)}`
        )
        return undefined
      })
    )
}

async function readValue(
  session: Session,
  text: string | undefined,
  { valueFile, valueEncoding }: PutOptions
): Promise<Buffer> {
  if ((text === undefined) === (valueFile === undefined)) {
    throw usageError('give the value either as an argument or with --value-file')
  }
  if (text !== undefined) return parseBytes(text, valueEncoding, 'the value')
  if (valueFile === '-') return buffer(session.stdin)
  try {
    return await readFile(valueFile as string)
  } catch (error) {
    throw fileError('read', valueFile as string, error)
  }
}
