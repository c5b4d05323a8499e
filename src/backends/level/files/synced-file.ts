/** A file of LevelDB, and how much of it a completed sync covers. */
export interface SyncedFile {
  readonly name: string
  readonly sizeBytes: number
}
