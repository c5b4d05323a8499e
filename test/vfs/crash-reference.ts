/**
 * What may be there after a power cut, worked out the slow and plain way from the list of everything
 * that was ever done: by trying all combinations. The simulator must never go beyond it.
 */

const sectorBytes = 512

interface Doubtful {
  state: 'pending' | 'durable' | 'lost'
}

export type ContentEvent = Doubtful &
  (
    | { readonly kind: 'write'; readonly position: number; readonly bytes: Uint8Array }
    | { readonly kind: 'truncate' | 'extend'; readonly sizeBytes: number }
  )

/** The history of one file's contents. */
export class ReferenceFile {
  readonly events: ContentEvent[] = []
  readonly #explained = new Map<string, boolean>()

  /** `base`: contents known to be durable. */
  constructor(readonly base: Uint8Array) {}

  add(event: ContentEvent): void {
    this.#explained.clear()
    this.events.push(event)
  }

  sync(result: 'durable' | 'lost'): void {
    this.#explained.clear()
    for (const event of this.events) if (event.state === 'pending') event.state = result
  }

  /** What programs see. */
  current(): Buffer {
    return this.#apply(() => true)
  }

  /** Whether a power cut may leave exactly this. */
  explains(content: Buffer): boolean {
    const key = content.toString('latin1')
    let known = this.#explained.get(key)
    if (known === undefined) this.#explained.set(key, (known = this.#explain(content)))
    return known
  }

  #apply(kept: (event: ContentEvent) => boolean): Buffer {
    let content: Buffer = Buffer.from(this.base)
    for (const event of this.events) {
      if (!kept(event)) continue
      if (event.kind === 'write') {
        const end = event.position + event.bytes.length
        if (end > content.length) content = resized(content, end)
        content.set(event.bytes, event.position)
      } else if (event.kind === 'truncate' || event.sizeBytes > content.length) {
        content = resized(content, event.sizeBytes)
      }
    }
    return content
  }

  #explain(content: Buffer): boolean {
    const resizes = this.events.filter((e) => e.kind !== 'write' && e.state !== 'durable')
    for (let mask = 0; mask < 1 << resizes.length; mask++) {
      const dropped = new Set(resizes.filter((_, i) => (mask & (1 << i)) === 0))
      const events = this.events.filter((event) => !dropped.has(event))
      const { sizes, everySize, freshFrom } = possibleSizes(this.base.length, events)
      if (!sizes.has(content.length)) continue
      let fits = true
      for (let at = 0; fits && at < content.length; at += sectorBytes) {
        fits = this.#explainsSector(content, at, events, everySize, freshFrom)
      }
      if (fits) return true
    }
    return false
  }

  #explainsSector(
    content: Buffer,
    start: number,
    events: readonly ContentEvent[],
    sizes: ReadonlySet<number>,
    freshFrom: number
  ): boolean {
    const end = Math.min(content.length, start + sectorBytes)
    const target = content.subarray(start, end)
    const touching = events.filter(
      (e) => e.kind !== 'write' || (e.position < end && e.position + e.bytes.length > start)
    )
    const cuts = [...sizes].filter((size) => size > start && size < end)
    const before = Buffer.alloc(end - start)
    before.set(this.base.subarray(start, end))
    // Blocks that may be new to the file hold anything until a write to them is sure.
    if (start >= freshFrom && !isSurelyWritten(start, touching)) return true
    const reaches = (i: number, sector: Buffer): boolean => {
      const event = touching[i]
      if (!event) return sector.equals(target)
      if (event.kind !== 'write') {
        const next = Buffer.from(sector)
        if (event.kind === 'truncate' && event.sizeBytes < end) {
          next.fill(0, Math.max(0, event.sizeBytes - start))
        }
        return reaches(i + 1, next)
      }
      const written = (limit: number): Buffer => {
        const next = Buffer.from(sector)
        const first = Math.max(start, event.position)
        const last = Math.min(limit, event.position + event.bytes.length)
        if (last > first) {
          const from = first - event.position
          next.set(event.bytes.subarray(from, from + last - first), first - start)
        }
        return next
      }
      if (reaches(i + 1, written(end))) return true
      if (event.state === 'durable') return false
      if (reaches(i + 1, sector)) return true
      return cuts.some((cut) => reaches(i + 1, written(cut)))
    }
    return reaches(0, before)
  }
}

/** Whether a write to the sector was made durable and not cut off again. */
function isSurelyWritten(start: number, kept: readonly ContentEvent[]): boolean {
  let sure = false
  for (const event of kept) {
    if (event.kind === 'truncate' && event.sizeBytes <= start) sure = false
    else if (event.kind === 'write' && event.state === 'durable') sure = true
  }
  return sure
}

/** Sizes a file may have at the end and on the way, and from where on its blocks may be new. */
function possibleSizes(base: number, events: readonly ContentEvent[]) {
  let sizes = new Set([base])
  const everySize = new Set([base])
  let freshFrom = base
  for (const event of events) {
    const next = new Set<number>()
    for (const size of sizes) {
      if (event.kind === 'write') {
        const end = event.position + event.bytes.length
        next.add(Math.max(size, end))
        if (event.state === 'durable') continue
        next.add(size)
        for (let at = event.position; at < end; at++) {
          if (at % sectorBytes === 0) next.add(Math.max(size, at))
        }
      } else {
        next.add(event.kind === 'truncate' ? event.sizeBytes : Math.max(size, event.sizeBytes))
      }
    }
    sizes = next
    for (const size of sizes) {
      everySize.add(size)
      freshFrom = Math.min(freshFrom, size)
    }
  }
  return { sizes, everySize, freshFrom }
}

function resized(content: Buffer, sizeBytes: number): Buffer {
  const next = Buffer.alloc(sizeBytes)
  next.set(content.subarray(0, sizeBytes))
  return next
}

interface NameEvent {
  /** Path by path: the file that is there afterwards. */
  readonly entries: readonly (readonly [path: string, file: ReferenceFile | undefined])[]
  /** Directories whose sync is still to come. */
  readonly awaits: Set<string>
  durable: boolean
}

/** The history of a tree with fixed directories. */
export class ReferenceTree {
  readonly #events: NameEvent[] = []

  set(...entries: [path: string, file: ReferenceFile | undefined][]): void {
    const awaits = new Set(entries.map(([path]) => parentOf(path)))
    this.#events.push({ entries, awaits, durable: false })
  }

  syncDirectory(path: string): void {
    for (const event of this.#events) {
      event.awaits.delete(path)
      if (event.awaits.size === 0) event.durable = true
    }
    for (let changed = true; changed;) {
      changed = false
      this.#events.forEach((event, i) => {
        if (event.durable) return
        const carried = this.#events.slice(i + 1).some((e) => e.durable && sharesPath(e, event))
        if (carried) event.durable = changed = true
      })
    }
  }

  current(): Map<string, ReferenceFile> {
    return this.#replay(() => true)
  }

  get pendingCount(): number {
    return this.#events.filter((event) => !event.durable).length
  }

  /** Whether a power cut may leave exactly these files with these contents. */
  explains(files: ReadonlyMap<string, Buffer>): boolean {
    const pending = this.#events.filter((event) => !event.durable)
    for (let mask = 0; mask < 1 << pending.length; mask++) {
      const kept = new Set(pending.filter((_, i) => mask & (1 << i)))
      const inOrder = pending.every(
        (event, i) =>
          !kept.has(event) ||
          pending.slice(0, i).every((earlier) => kept.has(earlier) || !sharesPath(earlier, event))
      )
      if (!inOrder) continue
      const tree = this.#replay((event) => event.durable || kept.has(event))
      if (tree.size !== files.size) continue
      if ([...files].every(([path, content]) => tree.get(path)?.explains(content))) return true
    }
    return false
  }

  #replay(kept: (event: NameEvent) => boolean): Map<string, ReferenceFile> {
    const tree = new Map<string, ReferenceFile>()
    for (const event of this.#events) {
      if (!kept(event)) continue
      for (const [path, file] of event.entries) {
        if (file) tree.set(path, file)
        else tree.delete(path)
      }
    }
    return tree
  }
}

function parentOf(path: string): string {
  return path.slice(0, path.lastIndexOf('/')) || '/'
}

function sharesPath(a: NameEvent, b: NameEvent): boolean {
  return a.entries.some(([path]) => b.entries.some(([other]) => other === path))
}
