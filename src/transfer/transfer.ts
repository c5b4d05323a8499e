import type { Progress } from '../backend/backend.js'
import { formatKey } from '../base/bytes.js'
import type { Clock } from '../base/clock.js'
import type { Random } from '../base/random.js'
import { turn } from '../base/turn.js'
import { Checksum } from '../codec/checksum.js'
import { isCorruption, KintsugiError } from '../errors.js'
import { makeDirectory } from '../vfs/make-directory.js'
import type { Vfs } from '../vfs/vfs.js'
import { ContentDigest } from './content-digest.js'
import { CopyMarker, isSameState, type CopyState } from './copy-marker.js'
import type { EntryBatches, EntrySink, EntrySource } from './ends.js'
import { checkOwn, clearOwn } from './leftovers.js'
import { publishPart } from './level-db-part.js'

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
  readonly random: Random
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

/** What is there already, in key order. */
interface Part {
  readonly lastKey: Buffer | undefined
}

const everything: Part = { lastKey: undefined }
const idBytes = 16

interface Contents {
  readonly entries: number
  readonly bytes: number
  readonly digest: string
}

class Transfer {
  readonly #vfs: Vfs
  readonly #clock: Clock
  readonly #random: Random
  readonly #checksum: Checksum
  readonly #source: EntrySource
  readonly #sink: EntrySink
  readonly #progress: Progress
  readonly #marker: CopyMarker
  /** Of the copy that is being made: what its marker says. */
  #id = ''

  constructor(plan: TransferPlan, source: EntrySource, checksum: Checksum) {
    this.#vfs = plan.vfs
    this.#clock = plan.clock
    this.#random = plan.random
    this.#checksum = checksum
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
    const found = await this.#marker.read()
    // Before anything is changed: a marker may have come to lie beside the data of somebody else.
    checkOwn(this.#vfs, this.#sink.path, found, this.#checksum)
    const isPublished = found?.phase === 'publishing' && (await this.#publishRest(found))
    const after = isPublished ? everything : await this.#open(found)
    const entriesWritten = isPublished ? 0 : await this.#copy(after?.lastKey)
    const copiedMs = this.#clock.now()
    const contents = await this.#verify()
    if (!isPublished && this.#sink.kind === 'leveldb') {
      await this.#mark('publishing')
      await this.#sink.publish(this.#id)
    }
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

  /**
   * Ends an earlier run that had found its copy whole and was putting it into its place; false where
   * there is nothing of it. A copy of something else that is whole now is not for this one to remove.
   */
  async #publishRest(found: CopyState): Promise<boolean> {
    const { path } = this.#sink
    if (!(await publishPart(this.#vfs, path, found.id))) return false
    this.#id = found.id
    if (this.#isSame(found)) {
      await this.#sink.publish(found.id)
      return true
    }
    await this.#marker.remove()
    throw new KintsugiError(
      'KINTSUGI_STORE_EXISTS',
      `${path} holds the whole copy of ${found.source.path} that an earlier run has made, now ` +
        'without its mark; copy into a new or an empty directory',
      { path }
    )
  }

  /** Gets the destination ready; undefined where nothing of this very copy is there already. */
  async #open(found: CopyState | undefined): Promise<Part | undefined> {
    if (found === undefined) {
      await this.#begin()
    } else {
      this.#id = found.id
      const goesOn = found.phase === 'copying' && this.#isSame(found)
      const part = goesOn ? await this.#resume() : undefined
      if (part !== undefined) return part
      await this.#clear(found)
    }
    await this.#sink.open(this.#id)
    return undefined
  }

  #isSame({ source, destination }: CopyState): boolean {
    return destination === this.#sink.kind && isSameState(source, this.#source.state)
  }

  /** Undefined where what an earlier run left cannot be used as what is asked for now. */
  async #resume(): Promise<Part | undefined> {
    try {
      await this.#sink.open(this.#id)
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
  async #clear(found: CopyState): Promise<void> {
    await this.#marker.write({ ...found, phase: 'clearing' })
    await clearOwn(this.#vfs, this.#sink.path, found)
    await this.#begin()
  }

  /** Marks a new copy, before there is anything of it. */
  #begin(): Promise<void> {
    this.#id = Buffer.from(this.#random.fill(Buffer.alloc(idBytes))).toString('hex')
    return this.#mark('copying')
  }

  #mark(phase: CopyState['phase']): Promise<void> {
    const { kind } = this.#sink
    const source = this.#source.state
    return this.#marker.write({ phase, id: this.#id, source, destination: kind })
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
