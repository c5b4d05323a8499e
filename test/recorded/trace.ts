import type { MemFile } from '../../dist/vfs/mem-file.js'
import { MemVfs } from '../../dist/vfs/mem-vfs.js'

/** Operations as recorder.c names them. */
export const traceKinds = [
  '',
  'open',
  'write',
  'sync',
  'truncate',
  'allocate',
  'rename',
  'unlink',
  'mkdir',
  'rmdir',
  'close',
  'link'
] as const

export interface TraceEvent {
  readonly kind: (typeof traceKinds)[number]
  readonly file: number
  readonly a: number
  readonly b: number
  readonly bytes: Buffer
}

const headerBytes = 32

/** What recorder.c wrote down; an event that its process did not live to finish is left out. */
export function parseTrace(trace: Buffer): TraceEvent[] {
  const events: TraceEvent[] = []
  let at = 0
  while (at + headerBytes <= trace.length) {
    const kind = traceKinds[trace.readUInt32LE(at)]
    const length = Number(trace.readBigUInt64LE(at + 24))
    const end = at + headerBytes + length
    if (!kind) throw new Error(`there is no operation at byte ${at} of the trace`)
    if (end > trace.length) break
    events.push({
      kind,
      file: trace.readInt32LE(at + 4),
      a: Number(trace.readBigUInt64LE(at + 8)),
      b: Number(trace.readBigUInt64LE(at + 16)),
      bytes: trace.subarray(at + headerBytes, end)
    })
    at = end
  }
  return events
}

const writes = 4
const truncates = 2

interface OpenFile {
  readonly path: string
  /** Undefined for directories. */
  readonly handle: MemFile | undefined
}

/** Does again in memory what was recorded on disk, so that the power can be cut anywhere. */
export class Replay {
  readonly vfs: MemVfs
  readonly #root: string
  readonly #open = new Map<number, OpenFile>()

  constructor(vfs: MemVfs, root: string) {
    this.vfs = vfs
    this.#root = root
  }

  /** The file that an operation is about, from the root on; for two names the first. */
  pathOf({ kind, file, bytes }: TraceEvent): string {
    if (file >= 0 && kind !== 'open') return this.#open.get(file)?.path ?? ''
    return this.#below(bytes.toString().split('\0')[0]!)
  }

  apply(event: TraceEvent): void {
    const { vfs } = this
    const [from = '', to = ''] = event.file < 0 ? event.bytes.toString().split('\0') : []
    switch (event.kind) {
      case 'open':
        return this.#openFile(event)
      case 'rename':
        return vfs.renameSync(this.#below(from), this.#below(to))
      case 'link':
        throw new Error(`a second name for ${from} is not followed`)
      case 'unlink':
        return vfs.unlinkSync(this.#below(from))
      case 'mkdir':
        return vfs.mkdirSync(this.#below(from))
      case 'rmdir':
        return vfs.rmdirSync(this.#below(from))
      default:
        return this.#change(event)
    }
  }

  #change({ kind, file, a, bytes }: TraceEvent): void {
    const { path, handle } = this.#open.get(file)!
    if (kind === 'close') {
      handle?.closeSync()
      this.#open.delete(file)
    } else if (kind === 'sync') {
      if (handle) handle.datasyncSync()
      else this.vfs.syncDirectorySync(path)
    } else if (kind === 'write') {
      handle!.writeSync(bytes, a)
    } else if (kind === 'truncate') {
      handle!.truncateSync(a)
    } else {
      handle!.allocateSync(a)
    }
  }

  #openFile({ file, a, b, bytes }: TraceEvent): void {
    const path = this.#below(bytes.toString())
    if (b !== 0) return void this.#open.set(file, { path, handle: undefined })
    const isThere = this.vfs.statSync(path) !== undefined
    const mode = (a & writes) === 0 ? 'read' : isThere ? 'readwrite' : 'create'
    const handle = this.vfs.openSync(path, mode)
    if (isThere && (a & truncates) !== 0) handle.truncateSync(0)
    this.#open.set(file, { path, handle })
  }

  #below(path: string): string {
    return path.slice(this.#root.length) || '/'
  }
}
