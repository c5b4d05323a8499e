import { readdir, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { open, type OpenOptions } from '../open.js'
import type { Store } from '../store/store.js'
import type { RecoverySummary } from '../telemetry/telemetry.js'
import { ifThere } from './cli-error.js'
import { plural } from './output.js'
import type { Session } from './session.js'

/**
 * Opens the store, works, and closes it whatever happens. Commands that only read open it
 * read-only, so looking at a store never changes it.
 */
export async function withStore<Result>(
  session: Session,
  path: string,
  options: OpenOptions,
  work: (store: Store) => Promise<Result>
): Promise<Result> {
  const store = await open(path, { ...options, ...profileOf(session) })
  noteRecovery(session, store.recovery, options.readOnly === true)
  let result: Result
  try {
    session.signal.throwIfAborted()
    result = await work(store)
  } catch (error) {
    // The first failure is the one to report; closing after it may fail for the same reason.
    await store.close().catch(() => undefined)
    throw error
  }
  await store.close()
  return result
}

/** The profile as an option, where one was given. */
export function profileOf({ profile }: Session): Pick<OpenOptions, 'profile'> {
  return profile === undefined ? {} : { profile }
}

/** Tells people what opening found: nobody should have to ask whether something was dropped. */
function noteRecovery(session: Session, recovery: RecoverySummary, readOnly: boolean): void {
  const { clean, replayedCommits, droppedBytes, droppedFirstSeq, warnings } = recovery
  if (!clean && !readOnly && replayedCommits > 0) {
    session.note(`recovered: ${plural(replayedCommits, 'commit')} replayed from the log`)
  }
  if (droppedBytes > 0) {
    const from = droppedFirstSeq === undefined ? '' : `, from sequence number ${droppedFirstSeq}`
    session.note(
      `recovered: an unfinished write of ${plural(droppedBytes, 'byte')} at the end of the log ` +
        `was never acknowledged as durable and is dropped${from}`
    )
  }
  for (const warning of warnings) session.note(`warning: ${warning}`)
}

/**
 * Bytes on disk of a directory's files, its subdirectories included; 0 where there is none. Files
 * may go meanwhile: a store that is open retires its log.
 */
export async function directoryBytes(path: string): Promise<number> {
  let bytes = 0
  const entries = await ifThere('read', path, readdir(path, { recursive: true }))
  for (const entry of entries ?? []) {
    const file = join(path, entry)
    const status = await ifThere('read', file, stat(file))
    if (status?.isFile()) bytes += status.blocks * 512
  }
  return bytes
}
