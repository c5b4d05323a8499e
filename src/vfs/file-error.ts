import { KintsugiError, type ErrorCode } from '../errors.js'

const codes: Record<string, ErrorCode> = {
  ENOSPC: 'KINTSUGI_DISK_FULL',
  EDQUOT: 'KINTSUGI_DISK_FULL',
  EFBIG: 'KINTSUGI_DISK_FULL',
  EMFILE: 'KINTSUGI_TOO_MANY_FILES',
  ENFILE: 'KINTSUGI_TOO_MANY_FILES',
  EACCES: 'KINTSUGI_PERMISSION',
  EPERM: 'KINTSUGI_PERMISSION',
  EROFS: 'KINTSUGI_PERMISSION',
  ENOENT: 'KINTSUGI_FILE_MISSING',
  ENOTDIR: 'KINTSUGI_FILE_MISSING',
  EEXIST: 'KINTSUGI_FILE_EXISTS'
}

const advice: Partial<Record<ErrorCode, string>> = {
  KINTSUGI_DISK_FULL: 'free some space; writes go on by themselves once there is room',
  KINTSUGI_TOO_MANY_FILES: 'raise the open-file limit (ulimit -n) or close other files',
  KINTSUGI_PERMISSION: 'check the owner and mode of the file and its directory',
  KINTSUGI_IO: 'check the device (dmesg, SMART) before trusting it with more data'
}

/** The typed error for a failed file operation; anything not listed above is an I/O error. */
export function fileError(operation: string, path: string, errno: string, cause?: unknown) {
  const code = codes[errno] ?? 'KINTSUGI_IO'
  const next = advice[code]
  return new KintsugiError(
    code,
    `${operation} failed with ${errno} on ${path}${next ? `: ${next}` : ''}`,
    { operation, path, errno },
    cause
  )
}
