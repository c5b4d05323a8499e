import { assert } from '../../../base/assert.js'
import type { BackendContext } from '../../../backend/backend.js'
import { isCorruption, isFileMissing, KintsugiError } from '../../../errors.js'
import { frameBytes, minSegmentBytes } from '../../../wal/format.js'
import type { Log } from '../../../wal/log.js'
import {
  defaultMaxUnsyncedBytes,
  defaultWatermarkDelayMs,
  type LogContext
} from '../../../wal/log-context.js'
import type { CurrentFile } from './current-file.js'
import { manifestName } from './format.js'
import { encodedEditBytes, encodeEdit, type VersionEdit } from './version-edit.js'

export type ManifestContext = Pick<
  BackendContext,
  | 'vfs'
  | 'directory'
  | 'storeId'
  | 'checksum'
  | 'clock'
  | 'random'
  | 'options'
  | 'readOnly'
  | 'epoch'
>

/** Of the size of the write-ahead log's segments. */
const walSegmentFraction = 64
const maxManifestSegmentBytes = 1024 * 1024

/** Puts an edit into the log, in memory; returns its size there. */
export function commitEdit(log: Log, edit: VersionEdit, timeMs: number): number {
  const sizeBytes = encodedEditBytes(edit)
  const room = log.stage(sizeBytes)
  try {
    encodeEdit(edit, room.buffer, room.start)
  } catch (error) {
    log.unstage()
    throw error
  }
  log.commit(log.committedSeq + 1, 1, timeMs)
  return frameBytes(sizeBytes)
}

/** A small fraction of the log's segments, so that a store of small ones rolls small manifests. */
function segmentBytesFor(walSegmentBytes: number): number {
  const share = Math.floor(walSegmentBytes / walSegmentFraction / minSegmentBytes) * minSegmentBytes
  return Math.min(Math.max(share, minSegmentBytes), maxManifestSegmentBytes)
}

/** `named.file`: where a switch to a new segment after a failure is stated (rule S2). */
export function logContextOf(
  context: ManifestContext,
  named: { readonly file: CurrentFile | undefined }
): LogContext {
  const { vfs, directory, storeId, checksum, clock, random, options } = context
  return {
    vfs,
    directory: `${directory}/${manifestName}`,
    storeId,
    checksum,
    clock,
    random,
    options: {
      segmentBytes: segmentBytesFor(options.walSegmentBytes),
      maxUnsyncedBytes: defaultMaxUnsyncedBytes,
      watermarkDelayMs: defaultWatermarkDelayMs
    },
    segmentOpened: {
      // Not what is synced there: should this fail, those edits are taken back.
      async: async ({ segment, epoch }) => named.file?.publish({ activeSegment: segment, epoch }),
      sync: () => assert(false, 'the manifest is written asynchronously')
    }
  }
}

/** Names the manifest and what helps in errors of the log that it is written as. */
export async function naming<T>(directory: string, work: () => Promise<T>): Promise<T> {
  try {
    return await work()
  } catch (error) {
    if (!isCorruption(error) && !isFileMissing(error)) throw error
    throw new KintsugiError(
      'KINTSUGI_CORRUPTION',
      `the manifest in ${directory} cannot be read: ${error.message.replace(/\. Nothing was.*/s, '')}; ` +
        'run `kintsugi repair` or `kintsugi rebuild-manifest`; nothing was changed',
      { path: directory, ...error.facts },
      error
    )
  }
}
