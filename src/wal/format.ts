/** Layout of the log on disk, shared by writer and reader. format.md beside this file explains it. */

export const formatVersion = 1

/** Size of the block at the start of a segment; frames begin behind it. */
export const segmentHeaderBytes = 512

/** `KINTSWAL` */
export const segmentMagic = Buffer.from('KINTSWAL', 'latin1')

/** Byte offsets inside a segment header. */
export const SegmentField = {
  magic: 0,
  version: 8,
  features: 12,
  storeId: 16,
  number: 32,
  epoch: 40,
  salt: 48,
  sizeBytes: 56,
  link: 60,
  prevNumber: 64,
  prevCut: 72,
  reserved: 76,
  prevChain: 80,
  baseSeq: 88,
  syncedSeq: 96,
  createdMs: 104,
  zeros: 112,
  checksum: 504
} as const

/** How a segment continues the one before it. */
export const SegmentLink = {
  /** Nothing is before it: the first of a store. */
  first: 1,
  /** It counts only if a seal frame in `prev` names it. */
  sealed: 2,
  /** Its header alone ends `prev` at the cut; what lies behind the cut is void (rule F3). */
  voiding: 3
} as const
export type SegmentLink = (typeof SegmentLink)[keyof typeof SegmentLink]

/** Frames start at multiples of this, so that they can be found behind damage (rule W5). */
export const frameAlignment = 8
export const frameHeaderBytes = 56

/** `KWF1`, little-endian. */
export const frameMagic = 0x3146574b

/** Byte offsets inside a frame. The checksum covers everything from `magic` to the aligned end. */
export const FrameField = {
  checksum: 0,
  magic: 8,
  payloadBytes: 12,
  kind: 16,
  flags: 17,
  reserved: 18,
  operationCount: 20,
  seq: 24,
  syncedSeq: 32,
  commitTimeMs: 40,
  prevChecksum: 48,
  payload: 56
} as const

export const FrameKind = {
  /** One commit, or one part of a commit larger than a segment. */
  commit: 1,
  /** Nothing but `syncedSeq`: the witness of the group before it (rule W7). */
  watermark: 2,
  /** Last frame of a segment; the payload names the successor (rule W3). */
  seal: 3,
  /** Sequence numbers up to `seq` were given up by a recovery. */
  gap: 4
} as const

export const CommitFlags = {
  /** Not the first part of its commit. */
  continued: 1,
  /** Not the last part of its commit. */
  continues: 2
} as const

/** Payload of a seal: the successor's number and its header's checksum. */
export const SealField = { number: 0, checksum: 8 } as const
export const sealPayloadBytes = 16

/** Kept free at the end of every segment, so that it can always be sealed (rule F7). */
export const sealBytes = frameHeaderBytes + sealPayloadBytes

export const minSegmentBytes = 4096
export const maxSegmentBytes = 1024 * 1024 * 1024

/** Largest payload of one commit. */
export const maxPayloadBytes = 2 ** 31 - 1024 * 1024

export const twoTo32 = 2 ** 32

/** Bytes a frame takes in a segment. */
export function frameBytes(payloadBytes: number): number {
  return frameHeaderBytes + Math.ceil(payloadBytes / frameAlignment) * frameAlignment
}

/** Bytes of frames a segment can hold besides its seal. */
export function segmentCapacity(sizeBytes: number): number {
  return sizeBytes - segmentHeaderBytes - sealBytes
}

const segmentName = /^(\d{12})\.wal$/

export function segmentFileName(number: number): string {
  return `${String(number).padStart(12, '0')}.wal`
}

/** The number in a file name; undefined where the name is not a segment's. */
export function segmentNumberOf(fileName: string): number | undefined {
  const match = segmentName.exec(fileName)
  return match ? Number(match[1]) : undefined
}
