import type { RawRecord } from './record-splitter.js'

/** What an input record becomes in the store. */
export interface MappedRow {
  readonly key: Buffer
  readonly value: Buffer
}

/** Turns records of one file into entries; made anew for each file. */
export interface RowMapper {
  /** The entry of a record; undefined for the header line. */
  map(record: RawRecord): MappedRow | undefined
  /** The header line as it stood in the file. */
  readonly header: RawRecord | undefined
}

/** What of a record is stored as the value. */
export type ValueMode = 'raw' | 'json'

export interface MapperOptions {
  /** `--key`; undefined where the file is an export with columns of its own. */
  readonly keySpec: string | undefined
  readonly valueMode: ValueMode
  /** The column whose content alone is the value. */
  readonly valueColumn: string | undefined
  /** Stores raw records with their line ending. */
  readonly keepLineEnding: boolean
}

/** Names under which exports write keys and values, and how their text is decoded. */
export const exportColumns = {
  key: { key: 'utf8', keyBase64: 'base64', keyHex: 'hex' },
  value: { value: 'utf8', valueBase64: 'base64', valueHex: 'hex' }
} as const
