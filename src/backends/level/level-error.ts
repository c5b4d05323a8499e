import { KintsugiError } from '../../errors.js'

/** An error of `classic-level` as one of ours; it stays the cause. */
export function levelError(error: unknown, path: string, operation: string): KintsugiError {
  if (error instanceof KintsugiError) return error
  const { code, message = String(error) } = error as { code?: string; message?: string }
  const facts = { path, operation }
  const failed = `LevelDB in ${path}, ${operation}: ${message}`
  switch (code) {
    case 'LEVEL_DATABASE_NOT_OPEN':
    case 'LEVEL_ITERATOR_NOT_OPEN':
    case 'LEVEL_SNAPSHOT_NOT_OPEN': {
      // What opening failed of stands in the cause.
      const { cause } = error as { cause?: unknown }
      if (cause !== undefined) return levelError(cause, path, operation)
      return notOpen(error)
    }
    case 'LEVEL_CORRUPTION':
      return new KintsugiError(
        'KINTSUGI_CORRUPTION',
        `${failed}; run \`kintsugi repair\``,
        facts,
        error
      )
    case 'LEVEL_LOCKED':
      return new KintsugiError('KINTSUGI_LOCKED', `${failed}; close it there first`, facts, error)
    default:
      break
  }
  if (/no space left|disk quota/i.test(message)) {
    return new KintsugiError('KINTSUGI_DISK_FULL', `${failed}; make room`, facts, error)
  }
  return new KintsugiError('KINTSUGI_IO', failed, facts, error)
}

export function notOpen(cause?: unknown): KintsugiError {
  return new KintsugiError('KINTSUGI_NOT_OPEN', 'the store is closed; open it again', {}, cause)
}
