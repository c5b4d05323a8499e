import type { Progress } from '../backend/backend.js'
import { formatKey } from '../base/bytes.js'
import type { Clock } from '../base/clock.js'
import { turn } from '../base/turn.js'
import { Checksum } from '../codec/checksum.js'
import { isCorruption, KintsugiError } from '../errors.js'
import { removeStore } from '../store/store-directory.js'
import { makeDirectory } from '../vfs/make-directory.js'
import type { Vfs } from '../vfs/vfs.js'
import { ContentDigest } from './content-digest.js'
import { CopyMarker, isSameState, type CopyState, type DestinationKind } from './copy-marker.js'
import type { EntryBatches, EntrySink, EntrySource } from './ends.js'
import { clearLevelDb } from './level-db-files.js'

/** What a copy did. */
export interface TransferReport {
  /** Where the entries came from, and where they are now. */
  readonly source: string
  readonly destination: string
  /** Entries that were copied, those of an earlier run included; of both sides, counted at the end. */
  readonly entries: number
  /** Bytes of their keys and values. */
  readonly bytes: number
  /** SHA-256 of the contents, found to be the same on both sides. */
  readonly digest: string
  /** It went on where an earlier run was interrupted. */
  readonly resumed: boolean
  /** Entries that this run wrote. */
  readonly entriesWritten: number
  readonly copyMs: number
  readonly verifyMs: number
}

/** What a copy is made of. */
export interface TransferPlan {
  readonly vfs: Vfs
  readonly clock: Clock
  readonly openSource: () => Promise<EntrySource>
  readonly sink: EntrySink
  readonly progress: Progress
}

/** Copies everything from a source into a sink; see format.md for what an interruption leaves. */
export async function transfer(plan: TransferPlan): Promise<TransferReport> {
  const { vfs, sink } = plan
  // Before anything is opened or created: a directory that is somebody else's stays as it is.
  sink.admit()
  const source = await plan.openSource()
  let report: TransferReport
  try {
    await makeDirectory(vfs, sink.path)
    report = await underLock(plan, source)
  } catch (error) {
    await Promise.allSettled([source.close()]) // the failure before it is the one to report
    throw error
  }
  await source.close()
  return report
}

async function underLock(plan: TransferPlan, source: EntrySource): Promise<TransferReport> {
  const lock = plan.sink.lockSync()
  try {
    // Once more under the lock: somebody may have come before.
    plan.sink.admit()
    return await new Transfer(plan, source, await Checksum.create()).run()
  } finally {
    lock.release()
  }
}

interface Contents {
  readonly entries: number
  readonly bytes: number
  readonly digest: string
}

class Transfer {
  readonly #vfs: Vfs
  readonly #clock: Clock
  readonly #source: EntrySource
  readonly #sink: EntrySink
  readonly #progress: Progress
  readonly #marker: CopyMarker

  constructor(plan: TransferPlan, source: EntrySource, checksum: Checksum) {
    this.#vfs = plan.vfs
    this.#clock = plan.clock
    this.#source = source
    this.#sink = plan.sink
    this.#progress = plan.progress
    this.#marker = new CopyMarker(plan.vfs, plan.sink.path, checksum)
  }

  async run(): Promise<TransferReport> {
    try {
      return await this.#run()
    } catch (error) {
      await this.#sink.abandon()
      throw error
    }
  }

  async #run(): Promise<TransferReport> {
    const startedMs = this.#clock.now()
    const after = await this.#open()
    const entriesWritten = await this.#copy(after)
    const copiedMs = this.#clock.now()
    const contents = await this.#verify()
    await this.#marker.remove()
    return {
      source: this.#source.state.path,
      destination: this.#sink.path,
      ...contents,
      resumed: after !== undefined,
      entriesWritten,
      copyMs: copiedMs - startedMs,
      verifyMs: this.#clock.now() - copiedMs
    }
  }

  /** Gets the destination ready; returns the last key of this very copy that is there already. */
  async #open(): Promise<Buffer | undefined> {
    const found = await this.#marker.read()
    if (found === undefined) {
      await this.#mark('copying')
    } else {
      const part = this.#goesOn(found) ? await this.#resume() : undefined
      if (part !== undefined) return part.lastKey
      await this.#clear(found.destination)
    }
    await this.#sink.open(true)
    return undefined
  }

  #goesOn({ phase, source, destination }: CopyState): boolean {
    const same = destination === this.#sink.kind && isSameState(source, this.#source.state)
    return phase === 'copying' && same
  }

  /** Undefined where what an earlier run left cannot be used as what is asked for now. */
  async #resume(): Promise<{ readonly lastKey: Buffer | undefined } | undefined> {
    try {
      await this.#sink.open(false)
      return { lastKey: await this.#sink.lastKey() }
    } catch (error) {
      const useless =
        isCorruption(error) ||
        (error instanceof KintsugiError && error.code === 'KINTSUGI_BACKEND_MISMATCH')
      if (!useless) throw error
      // A damaged part of a copy is made again from its source.
      await this.#sink.abandon()
      return undefined
    }
  }

  /** Removes what another copy has written, and nothing else. */
  async #clear(written: DestinationKind): Promise<void> {
    await this.#marker.write({
      phase: 'clearing',
      source: this.#source.state,
      destination: written
    })
    const { path } = this.#sink
    if (written === 'store') await removeStore(this.#vfs, path)
    else await clearLevelDb(this.#vfs, path)
    await this.#mark('copying')
  }

  #mark(phase: CopyState['phase']): Promise<void> {
    const { kind } = this.#sink
    return this.#marker.write({ phase, source: this.#source.state, destination: kind })
  }

  /** Writes what is missing, all of it durable when it resolves; the number of entries. */
  async #copy(after: Buffer | undefined): Promise<number> {
    let written = 0
    let writing: Promise<void> = Promise.resolve()
    try {
      for await (const batch of this.#source.batches(after)) {
        await writing
        this.#progress.report(written, 0, 'entries')
        // The next batch is read while this one is written.
        writing = this.#sink.write(batch)
        // Whoever awaits it is told of a failure; before that it is not one that nobody handles.
        writing.catch(() => undefined)
        written += batch.length
      }
      await writing
      this.#progress.report(written, 0, 'entries')
      await this.#sink.finish()
      return written
    } catch (error) {
      await Promise.allSettled([writing]) // the failure before it is the one to report
      throw error
    }
  }

  /** Reads both sides again and compares; what was in memory on the way proves nothing. */
  async #verify(): Promise<Contents> {
    await this.#source.reopen()
    const wanted = await this.#contents(this.#source.batches(undefined), 0, 0)
    try {
      const found = await this.#contents(this.#sink.readBack(), wanted.entries, wanted.entries * 2)
      if (found.digest !== wanted.digest) throw await this.#difference(wanted, found)
      return wanted
    } catch (error) {
      // Going on with a copy that is wrong would never make it right. Where even this cannot be
      // written, the next run goes on, compares again, and comes here again.
      if (isCorruption(error)) await Promise.allSettled([this.#mark('clearing')])
      throw error
    }
  }

  async #contents(batches: EntryBatches, done: number, total: number): Promise<Contents> {
    const digest = new ContentDigest()
    for await (const batch of batches) {
      for (const { key, value } of batch) digest.add(key, value)
      this.#progress.report(done + digest.entries, total, 'entries checked')
      await turn()
    }
    return { digest: digest.finish(), entries: digest.entries, bytes: digest.bytes }
  }

  /** The error for contents that are not the same; names the first key that differs. */
  async #difference(wanted: Contents, found: Contents): Promise<KintsugiError> {
    const { path } = this.#sink
    const key = await firstDifference(this.#source.batches(undefined), this.#sink.readBack())
    const where = key === undefined ? '' : `, first at key ${formatKey(key)}`
    return new KintsugiError(
      'KINTSUGI_CORRUPTION',
      `the copy in ${path} is not the same as its source ${this.#source.state.path}: ` +
        `${found.entries} entries against ${wanted.entries}, SHA-256 ${found.digest} against ` +
        `${wanted.digest}${where}; run the same command again, which begins anew`,
      { path, ...(key !== undefined && { lowKey: key }) }
    )
  }
}

/** The first key that only one side has, or that has another value on the other. */
async function firstDifference(a: EntryBatches, b: EntryBatches): Promise<Buffer | undefined> {
  const left = entriesOf(a)
  const right = entriesOf(b)
  try {
    for (;;) {
      const [one, other] = [await left.next(), await right.next()]
      if (one.done === true || other.done === true) return (one.value ?? other.value)?.key
      const order = one.value.key.compare(other.value.key)
      if (order !== 0) return order < 0 ? one.value.key : other.value.key
      if (!one.value.value.equals(other.value.value)) return one.value.key
    }
  } finally {
    await Promise.all([left.return(undefined), right.return(undefined)])
  }
}

async function* entriesOf(batches: EntryBatches) {
  for await (const batch of batches) yield* batch
  return undefined
}
