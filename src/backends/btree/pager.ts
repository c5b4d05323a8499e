import type { PageContent } from './page-content.js'
import type { PageMemory } from './page-memory.js'
import type { Overflow } from './overflow.js'
import type { Checksum } from '../../codec/checksum.js'
import type { PageKind } from './format.js'
import type { Vfs } from '../../vfs/vfs.js'

/** The state of a tree between two commits: all that is needed to read it. */
export interface TreeState {
  /** Page number of the root; 0 for the empty tree, which has no pages. */
  readonly rootPage: number
  /** Levels, leaves included; 0 for the empty tree. */
  readonly height: number
  readonly entries: number
  /** Sequence number of the last commit in it. */
  readonly appliedSeq: number
}

/** A live read view's hold on the pages of its state. */
export interface ViewToken {
  readonly state: TreeState
  readonly generation: number
}

export interface PagerOptions {
  readonly vfs: Vfs
  readonly directory: string
  readonly storeId: Uint8Array
  readonly checksum: Checksum
  readonly content: PageContent
  /** Only for a new file; an existing file says its own. */
  readonly pageBytes: number
  /** Budget for clean pages and cached extents. */
  readonly cacheBytes: number
  /** Granularity in which memory is taken; 32 MiB unless a test wants less. */
  readonly slabBytes: number
  readonly epoch: number
  /** The last close was not clean (rule F4). */
  readonly recovering: boolean
  readonly readOnly: boolean
}

/**
 * Pages on disk and in memory. Everything but `load`, `persist` and `close` is synchronous; only
 * the load methods, and `create` and `open`, read the disk.
 */
export interface Pager {
  readonly memory: PageMemory
  readonly overflow: Overflow
  readonly pageBytes: number
  /** The state found at open. */
  readonly openedState: TreeState
  /** What opening had to do or leave out, for the recovery summary. */
  readonly openNotes: readonly string[]

  /**
   * Counts up at each freeze and with each view of changed pages. A page whose
   * `memory.generationOf` equals it is seen by nobody else and is edited in place.
   */
  readonly generation: number
  readonly durableSeq: number
  readonly retirableSeq: number
  /** Bytes of dirty pages and extents: what a persist would have to write, roughly. */
  readonly dirtyBytes: number

  /**
   * Makes a page resident: reads it, verifies checksum, page number, level, the parent's checksum
   * and the content's bounds, and returns its frame. Throws CORRUPTION with path, page and offset.
   */
  loadSync(pageNo: number, level: number, sumLow: number, sumHigh: number): number
  /**
   * The same without waiting. When it resolves the page was resident a moment ago, which is true
   * until the next load: start the descent again.
   */
  load(pageNo: number, level: number, sumLow: number, sumHigh: number): Promise<void>

  /** A new dirty page of the current generation, resident, zero behind its header. */
  allocate(kind: PageKind, level: number): number
  /**
   * The page to edit in place of a resident one: itself in the current generation, otherwise a copy
   * under a new page number; the old one is freed. The caller puts the number into the parent.
   */
  copyOnWrite(pageNo: number): number
  /** The current tree no longer refers to the page. Views and metas may; it waits for them. */
  free(pageNo: number): void

  /** A hold on everything reachable from the state, which must be the current one. */
  retainView(state: TreeState): ViewToken
  releaseView(view: ViewToken): void

  /**
   * Makes the state, which must be the current one, durable in the background; resolves with its
   * `appliedSeq`. Changes made after the call are not in it. One at a time. With nothing changed
   * it does nothing unless `force`.
   */
  persist(state: TreeState, force?: boolean): Promise<number>

  /**
   * Page number from which on pages are worth moving to free places before it, so that the file
   * can be cut there; 0 when it is short enough. Moving is `copyOnWrite` on every reachable page at
   * or above it, and `overflow.move` on every extent; two persists later the tail is given back.
   */
  relocationStart(): number

  close(): Promise<void>
}
