import { readFileSync } from 'node:fs'
import { describe, expect, it } from 'vitest'
import { MemVfs } from '../../dist/vfs/mem-vfs.js'
import { segmentFileName, SegmentLink, segmentNumberOf } from '../../dist/wal/format.js'
import { createLog } from '../../dist/wal/recovery.js'
import { decodeSegmentHeader, encodeSegmentHeader } from '../../dist/wal/segment-header.js'
import { checksum, contextOf, storeId } from './log-fixture.js'

describe('the log format', () => {
  it('writes exactly the bytes of the worked example in its specification', async () => {
    const vfs = new MemVfs()
    vfs.mkdirSync('/wal')
    const clock = { now: () => 1_700_000_000_000, after: () => ({ cancel() {} }) }
    const random = { fill: (target: Uint8Array) => target.fill(0x5a) }
    const log = await createLog(contextOf(vfs, {}, { clock, random }))
    const payload = Buffer.from('01000100020000006b7677', 'hex')
    const room = log.stage(payload.length)
    payload.copy(room.buffer, room.start)
    log.commit(1, 1, 1_700_000_000_001)
    await log.sync()
    const bytes = vfs.medium.read('/wal/000000000001.wal')

    const spec = readFileSync(new URL('../../src/wal/format.md', import.meta.url), 'utf8')
    const rows = spec.matchAll(/^([0-9a-f]{4}) {2}((?:[0-9a-f]{2} )+)/gm)
    let compared = 0
    for (const [, offset, hex] of rows) {
      if (hex === '00 ') continue
      const expected = Buffer.from(hex.replaceAll(' ', ''), 'hex')
      const at = Number.parseInt(offset, 16)
      expect(bytes.subarray(at, at + expected.length).toString('hex')).toBe(
        expected.toString('hex')
      )
      compared += expected.length
    }
    expect(compared).toBe(64 + 8 + 8 + 72)
    expect(bytes.length).toBe(4096)
  })

  it('names segments by number, and takes no other name for one', () => {
    expect(segmentFileName(7)).toBe('000000000007.wal')
    expect(segmentNumberOf('000000000007.wal')).toBe(7)
    for (const name of ['7.wal', '000000000007.wal.tmp', '00000000000x.wal', 'STORE-A']) {
      expect(segmentNumberOf(name)).toBeUndefined()
    }
  })

  it('believes no segment header with a flipped bit', () => {
    const header = {
      number: 7,
      epoch: 3,
      saltLow: 1,
      saltHigh: 2,
      sizeBytes: 4096,
      link: SegmentLink.voiding,
      prevNumber: 6,
      prevCut: 1024,
      prevChainLow: 8,
      prevChainHigh: 9,
      baseSeq: 20,
      syncedSeq: 18,
      createdMs: 1_700_000_000_000
    }
    const { bytes } = encodeSegmentHeader(header, storeId, checksum)
    const decode = () => decodeSegmentHeader(bytes, 'path', storeId, checksum).state
    expect(decode()).toBe('valid')
    for (let bit = 0; bit < bytes.length * 8; bit++) {
      bytes[bit >>> 3]! ^= 1 << (bit & 7)
      expect(decode()).toBe('spare')
      bytes[bit >>> 3]! ^= 1 << (bit & 7)
    }
  })
})
