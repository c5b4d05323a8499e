/** Files of a LevelDB directory by their names. */
export type LevelFile =
  | { readonly kind: 'current' | 'lock' | 'info' }
  | { readonly kind: 'manifest' | 'log' | 'table' | 'temporary'; readonly number: number }

export const currentName = 'CURRENT'

const numbered = /^(?:MANIFEST-(\d{1,15})|(\d{1,15})\.(log|ldb|sst|dbtmp))$/
const kinds = { log: 'log', ldb: 'table', sst: 'table', dbtmp: 'temporary' } as const

/** What a name stands for; undefined: LevelDB makes no such file. */
export function parseFileName(name: string): LevelFile | undefined {
  if (name === currentName) return { kind: 'current' }
  if (name === 'LOCK') return { kind: 'lock' }
  if (name === 'LOG' || name === 'LOG.old') return { kind: 'info' }
  const match = numbered.exec(name)
  if (match === null) return undefined
  const [, manifest, number, extension] = match
  if (manifest !== undefined) return { kind: 'manifest', number: Number(manifest) }
  return { kind: kinds[extension as keyof typeof kinds], number: Number(number) }
}

export function isManifest(name: string): boolean {
  return parseFileName(name)?.kind === 'manifest'
}

/** Of a numbered file; 0 for others. */
export function numberOf(name: string): number {
  const file = parseFileName(name)
  return file !== undefined && 'number' in file ? file.number : 0
}

export function manifestName(number: number): string {
  return `MANIFEST-${padded(number)}`
}

/** LevelDB writes `.ldb` and still reads the `.sst` of its old versions. */
export function tableNames(number: number): readonly string[] {
  return [`${padded(number)}.ldb`, `${padded(number)}.sst`]
}

function padded(number: number): string {
  return String(number).padStart(6, '0')
}

/** True where the names are those of a LevelDB directory. */
export function looksLikeLevelDb(names: readonly string[]): boolean {
  const files = names.map(parseFileName)
  return (
    files.some((file) => file?.kind === 'current') &&
    files.some((file) => file?.kind === 'manifest')
  )
}
