import type { MemDirectoryNode, MemNode } from './mem-node.js'

/** One name in one directory set to a node, or removed. */
export interface EntryChange {
  readonly directory: MemDirectoryNode
  readonly name: string
  readonly node: MemNode | undefined
}

/** A creation, removal or rename: its entry changes happen together or not at all. */
interface NameOperation {
  readonly id: number
  readonly changes: readonly EntryChange[]
  /** Directories that must still be synced before the operation is durable. */
  readonly awaits: Set<MemDirectoryNode>
  /** A directory sync failed: no later sync makes it durable. */
  lost: boolean
}

/**
 * The name operations of the whole tree that are not durable yet, in order. Operations on one name
 * never overtake each other, as in every file system: if one survives, so do those before it on the
 * same names. Operations on different names are independent.
 */
export class NameJournal {
  #operations: NameOperation[] = []
  #nextId = 0

  /** Changes the names programs see; what becomes of it in a crash is open until synced. */
  record(changes: readonly EntryChange[]): void {
    for (const { directory, name, node } of changes) setEntry(directory.entries, name, node)
    const awaits = new Set(changes.map((change) => change.directory))
    this.#operations.push({ id: this.#nextId++, changes, awaits, lost: false })
  }

  /** The point up to which a sync that starts now will make operations durable. */
  get mark(): number {
    return this.#nextId
  }

  /** Makes the operations before `mark` in this directory durable. */
  sync(directory: MemDirectoryNode, mark: number): void {
    for (const operation of this.#operations) {
      if (operation.id < mark && !operation.lost) operation.awaits.delete(directory)
    }
    this.#settle()
  }

  /** A sync of the directory failed: its pending operations are lost unless others carry them. */
  lose(directory: MemDirectoryNode): void {
    for (const operation of this.#operations) {
      if (operation.awaits.has(directory)) operation.lost = true
    }
  }

  /**
   * Chooses which operations survive a power cut and returns the entries of every directory they
   * touch; a directory not in the result has its durable entries.
   */
  afterCrash(
    survives: (index: number, count: number) => boolean
  ): Map<MemDirectoryNode, Map<string, MemNode>> {
    const result = new Map<MemDirectoryNode, Map<string, MemNode>>()
    const blocked = new NameSet()
    const count = this.#operations.length
    for (let i = 0; i < count; i++) {
      const { changes } = this.#operations[i]!
      const wanted = survives(i, count)
      if (!wanted || changes.some((change) => blocked.has(change))) {
        for (const change of changes) blocked.add(change)
        continue
      }
      for (const { directory, name, node } of changes) {
        let entries = result.get(directory)
        if (!entries) result.set(directory, (entries = new Map(directory.durable)))
        setEntry(entries, name, node)
      }
    }
    return result
  }

  /** A copy for a copied tree. */
  fork(directoryOf: (d: MemDirectoryNode) => MemDirectoryNode, nodeOf: (n: MemNode) => MemNode) {
    const copy = new NameJournal()
    copy.#nextId = this.#nextId
    copy.#operations = this.#operations.map((operation) => ({
      id: operation.id,
      lost: operation.lost,
      awaits: new Set([...operation.awaits].map(directoryOf)),
      changes: operation.changes.map(({ directory, name, node }) => ({
        directory: directoryOf(directory),
        name,
        node: node && nodeOf(node)
      }))
    }))
    return copy
  }

  #settle(): void {
    const needed = new NameSet()
    const settled = new Set<NameOperation>()
    for (let i = this.#operations.length - 1; i >= 0; i--) {
      const operation = this.#operations[i]!
      if (operation.awaits.size > 0 && !operation.changes.some((c) => needed.has(c))) continue
      for (const change of operation.changes) needed.add(change)
      settled.add(operation)
    }
    if (settled.size === 0) return
    for (const operation of this.#operations) {
      if (!settled.has(operation)) continue
      for (const { directory, name, node } of operation.changes) {
        setEntry(directory.durable, name, node)
      }
    }
    this.#operations = this.#operations.filter((operation) => !settled.has(operation))
  }
}

function setEntry(entries: Map<string, MemNode>, name: string, node: MemNode | undefined): void {
  if (node) entries.set(name, node)
  else entries.delete(name)
}

class NameSet {
  readonly #names = new Map<MemDirectoryNode, Set<string>>()

  has(change: EntryChange): boolean {
    return this.#names.get(change.directory)?.has(change.name) ?? false
  }

  add(change: EntryChange): void {
    const names = this.#names.get(change.directory)
    if (names) names.add(change.name)
    else this.#names.set(change.directory, new Set([change.name]))
  }
}
