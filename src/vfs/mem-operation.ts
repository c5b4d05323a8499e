/** An operation that changes what a crash may leave behind. */
export interface MemOperation {
  /** Counts up from 0 over all mutating operations of one `MemVfs`. */
  readonly index: number
  readonly kind: MemOperationKind
  readonly path: string
}

export type MemOperationKind =
  | 'create'
  | 'write'
  | 'datasync'
  | 'allocate'
  | 'truncate'
  | 'rename'
  | 'link'
  | 'unlink'
  | 'mkdir'
  | 'rmdir'
  | 'syncDirectory'

export type MemObserver = (operation: MemOperation) => void
