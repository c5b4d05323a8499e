import type { Command } from 'commander'
import { addKeyOptions, keyJson, parseKey, showKey, type KeyOptions } from '../key-options.js'
import type { Host } from '../session.js'
import { withStore } from '../store-access.js'

export function delCommand(host: Host): Command {
  const command = host.command(
    'del STORE KEY...',
    'remove keys, all of them or none; one that is not there is fine',
    [
      'kintsugi del ./cities 3040051 3041563',
      'kintsugi del ./routes 2B,AER,KZN --parts',
      'kintsugi del ./blobs 00ff --key-encoding hex --json'
    ]
  )
  return addKeyOptions(command).action(
    host.action<KeyOptions>(async (session, [path, ...keyTexts], options) => {
      const keys = keyTexts.map((text) => parseKey(text, options))
      const existed = await withStore(session, path, { createIfMissing: false }, async (store) => {
        const values = await store.getMany(keys)
        await store.batch(keys.map((key) => ({ type: 'del', key })))
        return values.map((value) => value !== undefined)
      })
      await session.out.result(
        () => ({
          deleted: existed.filter(Boolean).length,
          keys: keys.map((key, i) => ({ ...keyJson(key, options), existed: existed[i] }))
        }),
        () =>
          keys
            .map((key, i) => {
              const shown = showKey(key, options, 80)
              return existed[i] ? `Deleted ${shown}` : `${shown} was not there`
            })
            .join('\n')
      )
      return undefined
    })
  )
}
