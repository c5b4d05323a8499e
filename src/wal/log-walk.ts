import { KintsugiError } from '../errors.js'
import type { WalRecoveryMode } from '../options.js'
import { type Place, surveyBehind, type Survey } from './damage-survey.js'
import { CommitFlags, FrameKind, segmentHeaderBytes } from './format.js'
import { PositionQueue } from './position-queue.js'
import type { LogSource, SegmentDirectory, SegmentEntry } from './segment-directory.js'
import type { SealedHeader } from './segment-header.js'
import { SegmentReader } from './segment-reader.js'
import type { LogFinding, LogLoss, LogPosition, LogWitness } from './witness.js'

/**
 * Takes one commit: its encoded batch is `bytes[start, end)`, valid until it returns or its promise
 * settles.
 */
export type CommitSink = (
  bytes: Buffer,
  start: number,
  end: number,
  seq: number,
  operationCount: number,
  commitTimeMs: number
) => void | Promise<void>

/** Where reading goes on: in this segment, in another one, or nowhere. */
type Resolution =
  | { readonly kind: 'end' }
  | { readonly kind: 'resume'; readonly offset: number }
  | { readonly kind: 'follow'; readonly entry: SegmentEntry }

/**
 * Reads the log once, from its floor to its end, and delivers what the backend lacks. Whether a bad
 * frame is the torn tail or lost data is decided by witnesses alone (rules W6 and W7).
 */
export class LogWalk {
  readonly #source: LogSource
  readonly #directory: SegmentDirectory
  readonly #witness: LogWitness
  readonly #mode: WalRecoveryMode
  readonly #sink: CommitSink
  /** Read from the very beginning, also what nobody needs. */
  readonly #wholeLog: boolean

  /** Last complete commit read, or given up by a gap. */
  lastSeq = 0
  /** Everything up to here was synced, says some witness. */
  provenSeq: number
  /** Behind the last frame proven synced: where a new segment continues the log. */
  proven: LogPosition
  /** Frames behind it that were read and are part of the log. */
  readonly unproven = new PositionQueue()
  /** Where reading ended, and whether nothing at all was found behind that place. */
  end: LogPosition
  isCleanEnd = false
  readonly chain: SegmentEntry[] = []
  readonly dropped: LogLoss[] = []
  readonly findings: LogFinding[] = []
  bytesRead = 0
  commitsDelivered = 0
  commitsSkipped = 0
  commitsAbandoned = 0

  #chainLow = 0
  #chainHigh = 0
  /** Parts of a commit whose end was not read yet. */
  #parts: Buffer[] = []
  #partSeq = 0

  constructor(
    source: LogSource,
    directory: SegmentDirectory,
    witness: LogWitness,
    mode: WalRecoveryMode,
    sink: CommitSink,
    wholeLog = false
  ) {
    this.#source = source
    this.#directory = directory
    this.#witness = witness
    this.#mode = mode
    this.#sink = sink
    this.#wholeLog = wholeLog
    this.provenSeq = Math.max(witness.syncedSeq, witness.durableSeq, witness.cleanMark?.seq ?? 0)
    const nowhere = { segment: 0, offset: 0, chainLow: 0, chainHigh: 0, seq: 0 }
    this.proven = nowhere
    this.end = nowhere
  }

  async run(): Promise<void> {
    let entry: SegmentEntry | undefined = this.#head()
    let from = this.#beginning(entry)
    this.lastSeq = from.seq
    this.proven = from
    while (entry) {
      this.chain.push(entry)
      entry = await this.#readSegment(entry, from)
      if (entry) from = startOf(entry.header as SealedHeader)
    }
    this.unproven.dropAbove(this.lastSeq)
    this.#checkActiveSegment()
  }

  /** The segment at the floor: it must be there and begin early enough (rule B1). */
  #head(): SegmentEntry {
    const { floor, durableSeq } = this.#witness
    const head = this.#directory.get(floor.segment)
    if (head?.header && head.header.baseSeq <= durableSeq) return head
    const later = this.#directory.after(floor.segment - 1)[0]
    const path = head?.path ?? this.#source.directory
    const found = head?.header?.baseSeq ?? later?.header?.baseSeq ?? this.provenSeq
    const lastSeq = Math.max(durableSeq + 1, found)
    const loss: LogLoss = {
      reason: 'missing-segment',
      segment: floor.segment,
      path,
      offset: 0,
      bytes: 0,
      firstSeq: durableSeq + 1,
      lastSeq
    }
    const why = head ? head.reason || 'it begins behind what is needed' : 'it is missing'
    if (this.#mode !== 'skip-any' || !later) throw lostData(loss, why)
    this.dropped.push(loss)
    return later
  }

  /**
   * Where reading begins in the first segment: behind its header, or where the last clean close left
   * off when the backend has everything before that. Then opening takes the same time whatever the
   * log holds; what is passed over is needed by nobody, and an inspection still reads it.
   */
  #beginning(head: SegmentEntry): LogPosition {
    const { cleanMark, durableSeq } = this.#witness
    const voider = this.#directory.voiderOf(head.number)?.header
    const isPassable =
      !this.#wholeLog &&
      cleanMark?.segment === head.number &&
      cleanMark.seq <= durableSeq &&
      cleanMark.offset <= (voider?.prevCut ?? cleanMark.offset)
    return isPassable ? cleanMark : startOf(head.header as SealedHeader)
  }

  #checkActiveSegment(): void {
    const { activeSegment } = this.#witness
    if (this.chain.some(({ number }) => number >= activeSegment)) return
    const loss: LogLoss = {
      reason: 'missing-segment',
      segment: activeSegment,
      path: this.#directory.get(activeSegment)?.path ?? this.#source.directory,
      offset: 0,
      bytes: 0,
      firstSeq: this.lastSeq + 1,
      lastSeq: Math.max(this.lastSeq + 1, this.provenSeq)
    }
    this.#loseOrThrow(loss, 'STORE names it as part of the log, and nothing leads to it')
  }

  async #readSegment(entry: SegmentEntry, from: LogPosition): Promise<SegmentEntry | undefined> {
    const file = await this.#source.vfs.open(entry.path, 'read')
    const header = entry.header as SealedHeader
    const reader = new SegmentReader(file, header, this.#source.checksum)
    try {
      return await this.#readFrames(entry, reader, from)
    } finally {
      this.bytesRead += reader.bytesRead
      await file.close()
    }
  }

  async #readFrames(entry: SegmentEntry, reader: SegmentReader, from: LogPosition) {
    const { header } = reader
    const voider = this.#directory.voiderOf(entry.number)
    const cut = voider?.header
    const limit = cut ? cut.prevCut : reader.sizeBytes
    this.#witnessSynced(header.syncedSeq)
    this.#chainLow = from.chainLow
    this.#chainHigh = from.chainHigh
    let { offset } = from
    for (;;) {
      if (cut && offset === limit && this.#isAt(cut.prevChainLow, cut.prevChainHigh)) {
        this.#abandonParts()
        return voider
      }
      if (!reader.isLoaded(offset)) await reader.load(offset)
      if (offset < limit && reader.parse(offset) && this.#continues(reader, limit)) {
        const kept = this.#accept(entry, reader, offset)
        if (kept) await kept
        offset = reader.frameEnd
        if (reader.kind !== FrameKind.seal) continue
        const successor = this.#directory.get(reader.sealNumber)
        if (successor?.header && reader.sealNames(successor.header)) return successor
      }
      const isSealed = reader.kind === FrameKind.seal && reader.frameEnd === offset
      const chain = { low: this.#chainLow, high: this.#chainHigh }
      const place = { entry, reader, offset, chain, limit, voider, isSealed }
      const resolution = await this.#resolve(place)
      if (resolution.kind === 'follow') return resolution.entry
      if (resolution.kind === 'end') return undefined
      offset = resolution.offset
      await reader.load(offset)
      if (reader.parse(offset)) {
        this.#chainLow = reader.prevLow
        this.#chainHigh = reader.prevHigh
      }
    }
  }

  #isAt(chainLow: number, chainHigh: number): boolean {
    return this.#chainLow === chainLow && this.#chainHigh === chainHigh
  }

  /** True when the parsed frame follows what was read before it. */
  #continues(reader: SegmentReader, limit: number): boolean {
    if (!this.#isAt(reader.prevLow, reader.prevHigh) || reader.frameEnd > limit) return false
    if (reader.kind === FrameKind.commit) return reader.seq === this.lastSeq + 1
    return reader.kind !== FrameKind.gap || reader.seq > this.lastSeq
  }

  /** Takes a frame into the log. Returns a promise only where the sink does. */
  #accept(entry: SegmentEntry, reader: SegmentReader, offset: number): void | Promise<void> {
    const { kind, seq, frameEnd, checksumLow, checksumHigh } = reader
    this.#witnessSynced(reader.syncedSeq)
    this.#chainLow = checksumLow
    this.#chainHigh = checksumHigh
    if (kind !== FrameKind.commit && kind !== FrameKind.gap) return
    if (!(reader.flags & CommitFlags.continued)) this.#abandonParts()
    this.unproven.push(entry.number, offset, frameEnd, checksumLow, checksumHigh, seq)
    if (kind === FrameKind.gap) {
      this.#find('earlier-loss', entry, offset, this.lastSeq + 1, seq)
      this.lastSeq = seq
      this.#advanceProven()
      return
    }
    if (reader.flags !== 0) return this.#acceptPart(reader)
    this.lastSeq = seq
    // Frames that were proven before they were read, by a witness outside the log.
    if (seq <= this.provenSeq) this.#advanceProven()
    return this.#deliver(reader.buffer, reader.payloadStart, reader.payloadEnd, reader)
  }

  #acceptPart(reader: SegmentReader): void | Promise<void> {
    const isFirst = !(reader.flags & CommitFlags.continued)
    // Without its beginning a part says nothing; the damage before it was dealt with.
    if (!isFirst && (this.#parts.length === 0 || this.#partSeq !== reader.seq)) return
    this.#partSeq = reader.seq
    this.#parts.push(Buffer.from(reader.buffer.subarray(reader.payloadStart, reader.payloadEnd)))
    if (reader.flags & CommitFlags.continues) return
    const whole = Buffer.concat(this.#parts)
    this.#parts = []
    this.lastSeq = reader.seq
    if (reader.seq <= this.provenSeq) this.#advanceProven()
    return this.#deliver(whole, 0, whole.length, reader)
  }

  #deliver(bytes: Buffer, start: number, end: number, reader: SegmentReader): void | Promise<void> {
    if (reader.seq <= this.#witness.durableSeq) {
      this.commitsSkipped++
      return
    }
    this.commitsDelivered++
    return this.#sink(bytes, start, end, reader.seq, reader.operationCount, reader.commitTimeMs)
  }

  #witnessSynced(seq: number): void {
    if (seq <= this.provenSeq) return
    this.provenSeq = seq
    this.#advanceProven()
  }

  #advanceProven(): void {
    const last = this.unproven.popThrough(Math.min(this.provenSeq, this.lastSeq))
    if (!last) return
    const { segment, end, chainLow, chainHigh, seq } = last
    this.proven = { segment, offset: end, chainLow, chainHigh, seq }
  }

  /**
   * The chain goes on without the rest of a commit: its write was refused half-way, for lack of space
   * say. Nobody was told that it is there, so this is neither damage nor loss.
   */
  #abandonParts(): void {
    if (this.#parts.length === 0) return
    this.commitsAbandoned++
    this.#parts = []
    this.unproven.dropAbove(this.lastSeq)
  }

  #find(
    kind: LogFinding['kind'],
    entry: SegmentEntry,
    offset: number,
    firstSeq: number,
    lastSeq: number
  ): void {
    const { number: segment, path } = entry
    this.findings.push({ kind, segment, path, offset, firstSeq, lastSeq })
  }

  // --- the end of the log, or damage

  async #resolve(place: Place): Promise<Resolution> {
    const { entry, reader, offset, voider } = place
    const firstSeq = this.lastSeq + 1
    const { durableSeq } = this.#witness
    const tornBytes = place.isSealed ? 0 : reader.tornBytes(offset, this.#chainLow, this.#chainHigh)
    const survey = await surveyBehind(this.#source, this.#directory, place, firstSeq)
    this.bytesRead += survey.bytesRead
    const evidence = Math.max(this.provenSeq, survey.evidence)
    const isCertain = voider !== undefined || place.isSealed
    this.end = this.#position(entry.number, offset)
    if (this.#isAtMark()) this.#abandonParts()

    const next = survey.next
    const isBridged = next?.isBridged && next.seq === firstSeq
    const isUnneeded = next && firstSeq <= durableSeq && next.seq <= durableSeq + 1
    if (next && (isBridged || isUnneeded) && this.#mode !== 'absolute') {
      const kind = isBridged ? 'damaged-marker' : 'damage-below-durable'
      this.#find(kind, entry, offset, firstSeq, next.seq - 1)
      return this.#goTo(next, evidence)
    }

    const neededSeq = Math.max(firstSeq, durableSeq + 1)
    const isCutOff = reader.isShort && !isCertain && !this.#isAtMark()
    const loss: LogLoss = {
      reason: 'damage',
      segment: entry.number,
      path: entry.path,
      offset,
      bytes: Math.max(0, Math.max(survey.lastEnd, offset + tornBytes) - offset),
      firstSeq,
      lastSeq: Math.max(firstSeq, survey.lastSeq, evidence)
    }
    if (evidence >= neededSeq || isCertain) {
      this.#loseOrThrow(loss, this.#describe(place, survey))
    } else if (isCutOff) {
      const lost = { firstSeq: neededSeq, lastSeq: Math.max(neededSeq, loss.lastSeq) }
      this.#loseOrThrow({ ...loss, ...lost }, 'the file is shorter than it was made')
    } else if (loss.bytes > 0 || this.#parts.length > 0 || firstSeq <= durableSeq) {
      this.#tearTail({ ...loss, lastSeq: Math.max(firstSeq, survey.lastSeq) }, durableSeq)
    } else {
      this.isCleanEnd = true
    }
    this.#witnessSynced(evidence)
    if (this.#mode === 'skip-any' && next) return this.#goTo(next, evidence)
    return { kind: 'end' }
  }

  /** The log ends where a clean close left it, which gave the rest of the file back. */
  #isAtMark(): boolean {
    const { cleanMark } = this.#witness
    return (
      cleanMark?.segment === this.end.segment &&
      cleanMark.offset === this.end.offset &&
      cleanMark.seq === this.lastSeq
    )
  }

  #tearTail(loss: LogLoss, durableSeq: number): void {
    if (loss.firstSeq <= durableSeq) {
      // The backend has what stood here; only the log's own copy of it is gone.
      const { segment, path, offset, firstSeq } = loss
      this.findings.push({
        kind: 'damage-below-durable',
        segment,
        path,
        offset,
        firstSeq,
        lastSeq: durableSeq
      })
      if (loss.bytes === 0 || loss.lastSeq <= durableSeq) return
    }
    const reason = this.#parts.length > 0 ? 'unfinished-commit' : 'torn-tail'
    if (this.#mode === 'absolute') throw lostData(loss, 'the log does not end with a whole commit')
    this.dropped.push({ ...loss, reason })
    this.#parts = []
  }

  /** Damage in synced data: an error, unless the mode asks to go on without it. */
  #loseOrThrow(loss: LogLoss, why: string): void {
    const isStopping = this.#mode === 'point-in-time' && loss.firstSeq > this.#witness.durableSeq
    if (this.#mode !== 'skip-any' && !isStopping) throw lostData(loss, why)
    this.dropped.push(loss)
    this.#parts = []
  }

  #goTo(next: NonNullable<Survey['next']>, evidence: number): Resolution {
    this.#parts = []
    this.unproven.dropAbove(this.lastSeq)
    this.lastSeq = next.seq - 1
    this.#witnessSynced(evidence)
    return next.offset === undefined
      ? { kind: 'follow', entry: next.entry }
      : { kind: 'resume', offset: next.offset }
  }

  #position(segment: number, offset: number): LogPosition {
    return {
      segment,
      offset,
      chainLow: this.#chainLow,
      chainHigh: this.#chainHigh,
      seq: this.lastSeq
    }
  }

  #describe(place: Place, survey: Survey): string {
    if (place.isSealed) return 'the segment that its seal names is missing or damaged'
    if (place.voider) return `segment ${place.voider.number} states that it was synced`
    return `commits up to ${Math.max(this.provenSeq, survey.evidence)} are known to be synced`
  }
}

function startOf(header: SealedHeader): LogPosition {
  return {
    segment: header.number,
    offset: segmentHeaderBytes,
    chainLow: header.checksumLow,
    chainHigh: header.checksumHigh,
    seq: header.baseSeq
  }
}

function lostData(loss: LogLoss, why: string): KintsugiError {
  const { segment, path, offset, firstSeq, lastSeq } = loss
  return new KintsugiError(
    'KINTSUGI_WAL_CORRUPTION',
    `log segment ${segment} is damaged at offset ${offset}, commits ${firstSeq} to ${lastSeq} are ` +
      `affected: ${why}. Nothing was changed; restore the file, repair the store, or open with ` +
      "walRecoveryMode 'point-in-time' to go on without them",
    { segment, path, offset, firstSeq, lastSeq }
  )
}
