/**
 * What a power cut leaves of a simulated device. The engine must survive each of these:
 *
 * File contents (kept back: everything up to the last successful `datasync`)
 * - An unsynced write survives, is dropped, or is torn at 512 bytes: its first sectors, its last,
 *   all but some in the middle, any subset. Bytes outside the write are not harmed, and within one
 *   sector a write survives as a whole or not at all.
 * - Order is not kept: a later write may survive without an earlier one, in other sectors as in a
 *   write cache that empties in its own order, and in the same sector as with two queued requests.
 * - A write behind the end of the file survives with the new size, with the size but without the
 *   data (zeros, arbitrary bytes, or bytes of a file that had the blocks before: a file system that
 *   journals the size ahead of the data), or with the data cut at the old size.
 * - A cut or an extension of the file survives or not; cut bytes come back.
 * - After a failed sync the unsynced changes read back well; later syncs succeed without them, and
 *   only the crash shows that they are gone, wholly or in part.
 *
 * Names (kept back: everything up to the last successful `syncDirectory` of that directory)
 * - A creation, removal or rename survives or not, independently of file contents and of other
 *   names: a synced file without its name, a removed file that is back, a rename that did not
 *   happen, a directory without what was created in it, a created directory that is gone as a whole.
 * - One of two extremes: operations survive in any combination (POSIX promises no more), or up to
 *   one point in time (a journal, as ext4 and XFS have it).
 * - Operations on the same name keep their order, and a rename is one step: a file with a durable
 *   name never loses both names, and the name it replaces always holds the old file or the new one.
 *   ext4, XFS, Btrfs and NTFS all promise this much. Both names surviving is not simulated.
 *
 * Not simulated here: damage to synced bytes, which `MemVfs.medium` puts in by hand.
 */
import type { SeededRandom } from '../base/random.js'
import { MemContent } from './mem-content.js'
import { applyChange, MemDirectoryNode, MemFileNode, type FileChange } from './mem-node.js'
import type { MemNode, MemSpace } from './mem-node.js'
import type { NameJournal } from './mem-names.js'

export const sectorBytes = 512

/** `nothing` or `everything` that was not synced survives, or what the generator decides. */
export type CrashFate = 'nothing' | 'everything' | SeededRandom

/** Copies the tree as a power cut leaves it; all of the copy is durable. */
export function crashTree(
  root: MemDirectoryNode,
  names: NameJournal,
  space: MemSpace,
  fate: CrashFate
): MemDirectoryNode {
  const changed = names.afterCrash(nameSurvival(fate))
  const copies = new Map<MemNode, MemNode>()
  const copyOf = (node: MemNode): MemNode => {
    const known = copies.get(node)
    if (known) return known
    if (!node.isDirectory) {
      const file = new MemFileNode(space, crashContent(node, fate), node.stale)
      file.modifiedMs = node.modifiedMs
      file.lockOwner = node.lockOwner
      copies.set(node, file)
      return file
    }
    const directory = new MemDirectoryNode()
    directory.modifiedMs = node.modifiedMs
    copies.set(node, directory)
    for (const [name, child] of changed.get(node) ?? node.durable) {
      const copy = copyOf(child)
      if (!copy.isDirectory) copy.linkCount++
      directory.entries.set(name, copy)
      directory.durable.set(name, copy)
    }
    return directory
  }
  return copyOf(root) as MemDirectoryNode
}

function nameSurvival(fate: CrashFate): (index: number, count: number) => boolean {
  if (fate === 'nothing') return () => false
  if (fate === 'everything') return () => true
  if (fate.chance(1, 3)) {
    let cut = -1
    return (index, count) => index < (cut < 0 ? (cut = fate.below(count + 1)) : cut)
  }
  const quarters = fate.below(5)
  return () => fate.chance(quarters, 4)
}

/** The contents of one file as a power cut leaves them. */
function crashContent(file: MemFileNode, fate: CrashFate): MemContent {
  if (file.changes.length === 0) return file.synced.clone()
  if (fate === 'everything') return file.current.clone()
  if (fate === 'nothing') {
    const content = file.synced.clone()
    for (const change of file.changes) if (change.state === 'durable') applyChange(content, change)
    return content
  }
  return new CrashedContent(file, fate).content
}

/** Whether a sector of a change survives. */
type Survival = (sector: number) => boolean
const whole: Survival = () => true

class CrashedContent {
  readonly content: MemContent
  readonly #random: SeededRandom
  /** From here on the blocks may be new to the file: what they hold without a write is open. */
  #freshFrom: number
  /** Sectors behind `#freshFrom` whose bytes are known. */
  readonly #knownSectors = new Set<number>()

  constructor(file: MemFileNode, random: SeededRandom) {
    this.content = file.synced.clone()
    this.#freshFrom = this.content.sizeBytes
    this.#random = random
    const survivalOf = chooseSurvival(file.changes.length, random)
    for (let i = 0; i < file.changes.length; i++) {
      const change = file.changes[i]!
      if (change.state === 'durable') this.#applyDurable(change)
      else this.#applyDoubtful(change, survivalOf(i, change))
    }
    this.#fillUnknown(file.stale)
  }

  #applyDurable(change: FileChange): void {
    const before = this.content.sizeBytes
    applyChange(this.content, change)
    const start = change.kind === 'write' ? Math.min(before, change.position) : before
    this.#know(start, this.content.sizeBytes)
  }

  #applyDoubtful(change: FileChange, survives: Survival | undefined): void {
    if (change.kind === 'write') {
      this.#applyWrite(change.position, change.bytes, survives)
    } else if (survives) {
      applyChange(this.content, change)
      this.#freshFrom = Math.min(this.#freshFrom, this.content.sizeBytes)
    }
  }

  #applyWrite(position: number, bytes: Uint8Array, survives: Survival | undefined): void {
    const end = position + bytes.length
    const oldSize = this.content.sizeBytes
    let limit = end
    let sizeSurvives = false
    if (end > oldSize) {
      if (!survives) sizeSurvives = this.#random.chance(1, 8)
      else if (this.#random.chance(1, 8)) limit = oldSize
      else sizeSurvives = survives === whole || this.#random.chance(1, 2)
    }
    for (let at = position; survives && at < limit;) {
      const sector = Math.floor(at / sectorBytes)
      const next = Math.min(limit, (sector + 1) * sectorBytes)
      if (survives(sector)) {
        this.content.write(bytes.subarray(at - position, next - position), at)
        this.#know(at, next)
      }
      at = next
    }
    if (sizeSurvives && end > this.content.sizeBytes) this.content.truncate(end)
  }

  #know(start: number, end: number): void {
    if (end <= this.#freshFrom) return
    const first = Math.floor(Math.max(start, this.#freshFrom) / sectorBytes)
    for (let sector = first; sector * sectorBytes < end; sector++) this.#knownSectors.add(sector)
  }

  /** Puts arbitrary or stale bytes into some of the sectors that a size covers without data. */
  #fillUnknown(stale: MemContent | undefined): void {
    const { content } = this
    const first = Math.ceil(this.#freshFrom / sectorBytes)
    const last = Math.ceil(content.sizeBytes / sectorBytes)
    if (first >= last || this.#random.chance(1, 2)) return
    const source = stale && stale.sizeBytes > 0 && this.#random.chance(1, 2) ? stale : undefined
    const start = first + this.#random.below(last - first)
    const end = Math.min(last, start + 1 + this.#random.below(32))
    const bytes = Buffer.allocUnsafe(sectorBytes)
    for (let sector = start; sector < end; sector++) {
      if (this.#knownSectors.has(sector)) continue
      const position = sector * sectorBytes
      const length = Math.min(sectorBytes, content.sizeBytes - position)
      if (source) bytes.fill(0, source.read(bytes, position))
      else this.#random.fill(bytes)
      content.write(bytes.subarray(0, length), position)
    }
  }
}

/** For each change what of it survives; undefined: nothing. */
type ChooseSurvival = (index: number, change: FileChange) => Survival | undefined

function chooseSurvival(count: number, random: SeededRandom): ChooseSurvival {
  const style = random.below(4)
  if (style === 0) return inOrder(count, random)
  if (style === 1) return byEarlyWriteback(count, random)
  return byChange(random)
}

/** Changes reach the medium in order; the one at the cut is torn. */
function inOrder(count: number, random: SeededRandom): ChooseSurvival {
  const cut = random.below(count + 1)
  return (index, change) => {
    if (index < cut) return whole
    return index === cut ? torn(change, random) : undefined
  }
}

/** Each sector was last written back at its own moment, with all changes up to then. */
function byEarlyWriteback(count: number, random: SeededRandom): ChooseSurvival {
  const sizeCut = random.below(count + 1)
  const cuts = new Map<number, number>()
  const cutOf = (sector: number) => {
    let cut = cuts.get(sector)
    if (cut === undefined) cuts.set(sector, (cut = random.below(count + 1)))
    return cut
  }
  return (index, change) => {
    if (change.kind !== 'write') return index < sizeCut ? whole : undefined
    return (sector) => index < cutOf(sector)
  }
}

/** Each change has a fate of its own. */
function byChange(random: SeededRandom): ChooseSurvival {
  const tornSixths = random.below(4)
  const keptQuarters = random.below(5)
  return (_index, change) => {
    if (random.chance(tornSixths, 6)) return torn(change, random)
    return random.chance(keptQuarters, 4) ? whole : undefined
  }
}

function torn(change: FileChange, random: SeededRandom): Survival | undefined {
  if (change.kind !== 'write') return random.chance(1, 2) ? whole : undefined
  const first = Math.floor(change.position / sectorBytes)
  const count = Math.floor((change.position + change.bytes.length - 1) / sectorBytes) - first + 1
  const start = first + random.below(count + 1)
  switch (random.below(4)) {
    case 0:
      return (sector) => sector < start
    case 1:
      return (sector) => sector >= start
    case 2: {
      const end = start + 1 + random.below(count)
      return (sector) => sector < start || sector >= end
    }
    default:
      return () => random.chance(1, 2)
  }
}

/** Copies the tree with everything unsynced, as the end of the process leaves it. */
export function forkTree(
  root: MemDirectoryNode,
  names: NameJournal,
  space: MemSpace
): { root: MemDirectoryNode; names: NameJournal } {
  const copies = new Map<MemNode, MemNode>()
  const nodeOf = (node: MemNode): MemNode => {
    const known = copies.get(node)
    if (known) return known
    if (!node.isDirectory) {
      const file = node.fork(space)
      copies.set(node, file)
      return file
    }
    return directoryOf(node)
  }
  const directoryOf = (node: MemDirectoryNode): MemDirectoryNode => {
    const known = copies.get(node)
    if (known) return known as MemDirectoryNode
    const directory = new MemDirectoryNode()
    directory.modifiedMs = node.modifiedMs
    copies.set(node, directory)
    for (const [name, child] of node.entries) {
      const copy = nodeOf(child)
      if (!copy.isDirectory) copy.linkCount++
      directory.entries.set(name, copy)
    }
    for (const [name, child] of node.durable) directory.durable.set(name, nodeOf(child))
    return directory
  }
  const copy = directoryOf(root)
  const forkedNames = names.fork(directoryOf, nodeOf)
  for (const node of copies.values()) if (!node.isDirectory) node.releaseIfUnused()
  return { root: copy, names: forkedNames }
}
