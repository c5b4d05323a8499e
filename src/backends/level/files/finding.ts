import type { Finding } from '../../../backend/backend.js'
import { formatKey } from '../../../base/bytes.js'
import type { KeySpan } from '../../../memtable/key-span.js'

/** What a check of LevelDB's files says; `keys` undefined: any key may be concerned. */
export function fileFinding(
  kind: string,
  path: string,
  what: string,
  where: { readonly offset?: number; readonly keys?: KeySpan | undefined } = {}
): Finding {
  const { offset, keys } = where
  const at = offset === undefined ? '' : ` at byte ${offset}`
  return {
    severity: 'error',
    kind,
    message: `${path}${at}: ${what}${keys ? `; it concerns ${describe(keys)}` : ''}; run \`kintsugi repair\``,
    path,
    ...(offset !== undefined && { offset }),
    ...(keys && { lowKey: keys.low }),
    ...(keys?.high && { highKey: keys.high })
  }
}

function describe({ low, high }: KeySpan): string {
  const from = low.length === 0 ? 'the first key' : formatKey(low)
  return `keys from ${from} to ${high === undefined ? 'the last' : `before ${formatKey(high)}`}`
}
