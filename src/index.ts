export { open, repair, type OpenOptions, type RepairOptions } from './open.js'
export {
  exportLevelDb,
  importLevelDb,
  migrate,
  type ExportLevelDbOptions,
  type MigrateOptions
} from './transfer/migrate.js'
export type { TransferReport } from './transfer/transfer.js'
export type { RepairReport } from './recovery/repair.js'
export { KintsugiError, type ErrorCode, type ErrorFacts, type Severity } from './errors.js'
export type {
  CompressionName,
  Durability,
  Encoding,
  ProfileName,
  StoreOptions,
  WalRecoveryMode
} from './options.js'
export type { Store, WriteOptions } from './store/store.js'
export type { Operation } from './store/operations.js'
export type { WorkOptions } from './store/work.js'
export type { Snapshot } from './store/snapshot.js'
export type { Transaction, TransactionOptions } from './store/transaction.js'
export type { StoreIterator, IteratorOptions, ScanOptions } from './store/iterator.js'
export type { Bytes, CompactOptions, KeyRange } from './store/arguments.js'
export type {
  CompactionFailure,
  CompactionSummary,
  RecoverySummary,
  StoreEvents
} from './telemetry/telemetry.js'
export type { Finding, VerifyLevel } from './backend/backend.js'
