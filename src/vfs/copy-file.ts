import type { Vfs } from './vfs.js'

const pieceBytes = 1024 * 1024

/**
 * Copies a file, or its first `maxBytes`, to a new one, and makes it durable apart from its name. An
 * interrupted or failed copy is left as it is.
 */
export async function copyFile(
  vfs: Vfs,
  from: string,
  to: string,
  { maxBytes = Infinity, signal }: { maxBytes?: number; signal?: AbortSignal | undefined } = {}
): Promise<void> {
  const source = await vfs.open(from, 'read')
  try {
    const target = await vfs.open(to, 'create')
    try {
      const buffer = Buffer.allocUnsafeSlow(Math.min(pieceBytes, maxBytes))
      for (let at = 0; at < maxBytes;) {
        signal?.throwIfAborted()
        const wanted = buffer.subarray(0, Math.min(buffer.length, maxBytes - at))
        const count = await source.read(wanted, at)
        if (count === 0) break
        await target.write(wanted.subarray(0, count), at)
        at += count
      }
      await target.datasync()
    } finally {
      await target.close()
    }
  } finally {
    await source.close()
  }
}
