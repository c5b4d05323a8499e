import type { KeySpan } from './key-gaps.js'
import type { PageContent } from './page-content.js'
import type { Slab } from './page-memory.js'
import type { SalvageSource } from './salvage-source.js'

/**
 * The range of which a leaf alone proves that it held every key when it was written; undefined
 * where it proves nothing. Exact fences bound it. A side whose fence was cut or had no room ends at
 * the leaf's own last key there: what lies behind may belong to its neighbour.
 */
export async function claimOf(
  source: SalvageSource,
  content: PageContent,
  slab: Slab,
  base: number
): Promise<KeySpan | undefined> {
  const { low, high, lowIsExact, highIsExact } = content.fences(slab, base)
  if (lowIsExact && highIsExact) return { low, high }
  const first = await firstReadableKey(source, content, slab, base, false)
  const last = await firstReadableKey(source, content, slab, base, true)
  if (first === undefined || last === undefined) return undefined
  return {
    low: lowIsExact ? low : first,
    high: highIsExact ? high : Buffer.concat([last, Buffer.alloc(1)])
  }
}

/** The outermost key of a side; one whose extent is damaged bounds nothing. */
async function firstReadableKey(
  source: SalvageSource,
  content: PageContent,
  slab: Slab,
  base: number,
  fromEnd: boolean
): Promise<Buffer | undefined> {
  const count = content.entryCount(slab, base)
  for (let i = 0; i < count; i++) {
    const { inline, whole } = content.keyPart(slab, base, fromEnd ? count - 1 - i : i)
    const key = whole === undefined ? inline : await source.readExtent(whole)
    if (key !== undefined) return key
  }
  return undefined
}
