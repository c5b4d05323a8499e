/**
 * The file system as the engine sees it. Everything that touches files goes through this interface,
 * so that tests can swap in a file system that loses power or runs full.
 *
 * Contract of every implementation:
 * - Errors are `KintsugiError`s made by `fileError`: DISK_FULL, IO, TOO_MANY_FILES, PERMISSION,
 *   FILE_MISSING, FILE_EXISTS; `facts` name path, operation and errno.
 * - Short writes are continued; a write that still could not be completed throws, and how much of it
 *   reached the file is unknown.
 * - Nothing is durable before `datasync` (contents, size) and `syncDirectory` (names) returned.
 * - Every operation has a synchronous form. The asynchronous form does its waiting on another
 *   thread; use it whenever the event loop should go on.
 */
export interface Vfs {
  /** A description from which a worker thread can build the same file system; undefined: it cannot. */
  readonly spec: VfsSpec | undefined

  /** The path under which other libraries find the same file; undefined: they cannot. */
  realPath(path: string): string | undefined
  /**
   * A new temporary directory in which the files of another can be read while that stays as it is:
   * copies of those that `isCopied` names, symbolic links to the others. Whoever asks for it removes
   * it, in the order of the names; what a killed process has left the next one removes. Only where
   * there are real paths.
   */
  shadow(directory: string, isCopied: (name: string) => boolean): Promise<string>

  open(path: string, mode: OpenMode): Promise<VfsFile>
  openSync(path: string, mode: OpenMode): VfsFile

  /** Creates one directory; an existing one is FILE_EXISTS, a missing parent FILE_MISSING. */
  mkdirSync(path: string): void
  /** Names in a directory, sorted; FILE_MISSING where there is no such directory. */
  readdir(path: string): Promise<string[]>
  readdirSync(path: string): string[]
  /** What stands at a path; undefined where nothing does. Follows symbolic links. */
  statSync(path: string): FileStat | undefined
  /** Replaces what stands at `to`. Durable after `syncDirectory` of both parents. */
  rename(from: string, to: string): Promise<void>
  renameSync(from: string, to: string): void
  /**
   * Gives the file at `from` a second name; FILE_EXISTS where something stands at `to`. Fails where
   * the file system has no such names, or `to` lies in another one. Durable after `syncDirectory`.
   */
  link(from: string, to: string): Promise<void>
  unlink(path: string): Promise<void>
  unlinkSync(path: string): void
  /** Removes an empty directory. */
  rmdirSync(path: string): void
  /** Makes the names in a directory durable: creations, renames and removals. */
  syncDirectory(path: string): Promise<void>
  syncDirectorySync(path: string): void

  /**
   * Takes a lock on the file, created if missing, against every other opener in this and other
   * processes. `exclusive: false` shares it with other shared lockers. Fails with LOCKED at once
   * when it is held; `facts.owner` then says by whom. The lock ends with `release` or the process.
   */
  lockSync(path: string, options: { exclusive: boolean; now: number }): VfsLock

  /** Bytes available to this user on the file system that holds `path`. */
  freeBytes(path: string): Promise<number>
}

/** `read`: must exist. `readwrite`: must exist. `create`: must not exist, then readable, writable. */
export type OpenMode = 'read' | 'readwrite' | 'create'

export interface VfsFile {
  readonly path: string

  /** Reads at `position`; returns how many bytes were there, fewer than asked only at the end. */
  read(target: Uint8Array, position: number): Promise<number>
  readSync(target: Uint8Array, position: number): number
  /**
   * Fills the target from what the operating system has in memory, without waiting. False when it
   * has not all of it, when the file ends before, when the read fails, or where the platform cannot
   * say: `read` then does, or tells why not. The target's contents are undefined after that.
   */
  tryRead(target: Uint8Array, position: number): boolean
  write(source: Uint8Array, position: number): Promise<void>
  writeSync(source: Uint8Array, position: number): void
  /** Makes contents and size durable (fdatasync). */
  datasync(): Promise<void>
  datasyncSync(): void
  /** `write` then `datasync`, in one trip to another thread where the platform allows. */
  writeAndDatasync(source: Uint8Array, position: number): Promise<void>
  /**
   * Reserves space from 0 to `sizeBytes` and extends the file to that size with zeros; never
   * shrinks. Where the platform can reserve, later writes inside it do not run out of space.
   */
  allocate(sizeBytes: number): Promise<void>
  allocateSync(sizeBytes: number): void
  /** Sets the size, cutting or extending with zeros. */
  truncate(sizeBytes: number): Promise<void>
  truncateSync(sizeBytes: number): void
  sizeSync(): number
  /** Closing twice is allowed; any other use after closing is a defect. */
  close(): Promise<void>
  closeSync(): void
}

export interface FileStat {
  readonly sizeBytes: number
  readonly isDirectory: boolean
  /** Milliseconds since the Unix epoch. */
  readonly modifiedMs: number
}

export interface VfsLock {
  readonly exclusive: boolean
  /** Who had the lock before without releasing it: a process that crashed, or undefined. */
  readonly previousOwner: LockOwner | undefined
  release(): void
}

export interface LockOwner {
  readonly pid: number
  readonly host: string
  readonly bootId: string
  /** When the lock was taken, ISO 8601. */
  readonly since: string
}

/** Plain data, so that it can be posted to a worker thread. */
export interface VfsSpec {
  readonly kind: 'node'
  readonly native: boolean
}
