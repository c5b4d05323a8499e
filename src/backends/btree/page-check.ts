import { PageHeader, PageKind } from './format.js'

/**
 * Checks the header of a tree page, whose own checksum is right, against what its parent says of
 * it; what is wrong, or undefined.
 */
export function checkTreePage(
  bytes: Buffer,
  level: number,
  sumLow: number,
  sumHigh: number
): string | undefined {
  if (
    bytes.readUInt32LE(PageHeader.sumLow) !== sumLow ||
    bytes.readUInt32LE(PageHeader.sumHigh) !== sumHigh
  ) {
    return 'it is whole, but not the version that its parent refers to'
  }
  const kind = bytes[PageHeader.kind]
  if (kind !== (level === 0 ? PageKind.leaf : PageKind.branch)) {
    return `it is of kind ${kind} where a page of level ${level} is expected`
  }
  const own = bytes[PageHeader.level]
  return own === level ? undefined : `it is of level ${own} where its parent expects ${level}`
}
