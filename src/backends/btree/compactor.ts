import type { Progress } from '../../backend/backend.js'
import { compareBytes } from '../../base/bytes.js'
import type { ByteRange } from '../../batch/batch.js'
import { entryAt, entryCount } from '../../page/read.js'
import type { Balancer } from './balancer.js'
import type { DamageMap } from './damage.js'
import { childAt } from './node.js'
import type { Pager } from './pager.js'
import type { Separators } from './separator.js'
import type { Tree } from './tree.js'

/** Leaves worked on before the event loop goes on. */
const leavesPerSlice = 16

/**
 * Repacks leaf after leaf: fills it from its right sibling, or takes that in whole. Every step
 * leaves a whole tree, so commits may come between. The persists that follow move what lies at the
 * end of the file into the places that became free, and cut the file.
 */
export class Compactor {
  readonly #pager: Pager
  readonly #tree: Tree
  readonly #balancer: Balancer
  readonly #separators: Separators
  readonly #damage: DamageMap

  constructor(tree: Tree, balancer: Balancer, separators: Separators, damage: DamageMap) {
    this.#pager = tree.pager
    this.#tree = tree
    this.#balancer = balancer
    this.#separators = separators
    this.#damage = damage
  }

  async run(range: ByteRange, progress: Progress): Promise<void> {
    const high = range.lt ?? range.lte
    let key: Buffer | undefined = Buffer.from(range.gte ?? range.gt ?? [])
    let leaves = 0
    while (key !== undefined && (high === undefined || compareBytes(key, high) <= 0)) {
      progress.signal?.throwIfAborted()
      if (this.#tree.height === 0) return
      key = await this.#step(key)
      progress.report(++leaves, 0, 'pages')
      if (leaves % leavesPerSlice === 0) {
        await new Promise<void>((resolve) => setImmediate(resolve))
      }
    }
  }

  /** Repacks the leaf that holds `key` and returns where the next one begins; undefined: nowhere. */
  async #step(key: Buffer): Promise<Buffer | undefined> {
    const tree = this.#tree
    // A load may push out what another one brought; in the worst case the descent itself waits.
    for (let round = 0; round < 8; round++) if (!(await this.#loadAround(key))) break
    try {
      if (tree.height === 0) return undefined
      tree.descend(key, 0, key.length)
      for (let count = 0; count < 64 && this.#balancer.fillFromRight(); count++) {
        tree.descend(key, 0, key.length)
      }
      return this.#nextLeafKey()
    } catch (error) {
      throw this.#damage.locate(error, tree.root, tree.height, key)
    }
  }

  /** Starts the first load that the step for `key` needs; false when it needs none. */
  async #loadAround(key: Buffer): Promise<boolean> {
    const load = this.#missing(key)
    if (load === undefined) return false
    const { root, height } = this.#tree
    try {
      await load
    } catch (error) {
      throw this.#damage.locate(error, root, height, key)
    }
    return true
  }

  #missing(key: Buffer): Promise<void> | undefined {
    const tree = this.#tree
    const { reader, memory } = tree
    if (tree.height === 0) return undefined
    if (reader.tryFind(tree.root, tree.height, key) < 0) return reader.loadMissing()
    tree.descend(key, 0, key.length)
    if (tree.height === 1) return undefined
    const parent = tree.slabOf(tree.pathPage[1])
    const region = tree.regionOf(tree.pathPage[1])
    const next = tree.pathIndex[1] + 1
    if (next >= entryCount(parent, region)) return undefined
    const word = childAt(parent, entryAt(parent, region, next)) >>> 2
    const pageNo = parent.u32[word]
    if (memory.pageTable[pageNo] >= 0) return undefined
    return this.#pager.load(pageNo, 0, parent.u32[word + 1], parent.u32[word + 2])
  }

  #nextLeafKey(): Buffer | undefined {
    const tree = this.#tree
    for (let level = 1; level < tree.height; level++) {
      const branch = tree.pathPage[level]
      const slab = tree.slabOf(branch)
      const region = tree.regionOf(branch)
      const next = tree.pathIndex[level] + 1
      if (next < entryCount(slab, region)) {
        return Buffer.from(this.#separators.keyAt(slab, region, next))
      }
    }
    return undefined
  }
}
