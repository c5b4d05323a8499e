import fc from 'fast-check'
import { describe, expect, test } from 'vitest'

import { compareBytes } from '../../dist/base/bytes.js'
import { PageEditor, fenceAt, plainEntryBytes, writePlainEntry } from '../../dist/page/edit.js'
import type { LongKeys, PageBytes } from '../../dist/page/format.js'
import {
  entryAt,
  entryCount,
  findInPage,
  freeBytes,
  inlineKeyBytes,
  inlineValueBytes,
  searchPage,
  valueOffset
} from '../../dist/page/read.js'
import { validatePage } from '../../dist/page/validate.js'

const sizeBytes = 1024
const base = 64
const noLongKeys: LongKeys = {
  compare() {
    throw new Error('no long keys here')
  }
}

interface Entry {
  key: Buffer
  value: Buffer
}

function newPage(): { page: PageBytes; editor: PageEditor } {
  const memory = new ArrayBuffer(base + sizeBytes + 64)
  const page = { u8: Buffer.from(memory), u32: new Uint32Array(memory) }
  page.u8.fill(0xa5)
  const editor = new PageEditor(sizeBytes)
  editor.clear(page, base, 0)
  return { page, editor }
}

function put(page: PageBytes, editor: PageEditor, entry: Entry): boolean {
  const { key, value } = entry
  const source = Buffer.concat([key, value])
  let index = searchPage(page, base, key, 0, key.length, noLongKeys)
  if (index >= 0) {
    const at = editor.resizeValue(page, base, index, value.length)
    if (at >= 0) {
      writePlainEntry(page, at, source, 0, key.length, source.length)
      return true
    }
    editor.remove(page, base, index, index + 1)
    index = ~index
  }
  const at = editor.reserve(page, base, ~index, plainEntryBytes(key.length, value.length))
  if (at < 0) return false
  writePlainEntry(page, at, source, 0, key.length, source.length)
  editor.finishInsert(page, base, ~index)
  return true
}

function contents(page: PageBytes): Entry[] {
  const entries: Entry[] = []
  for (let i = 0; i < entryCount(page, base); i++) {
    const at = entryAt(page, base, i)
    const word = page.u32[at >>> 2]
    const valueAt = at + valueOffset(word)
    entries.push({
      key: Buffer.from(page.u8.subarray(at + 4, at + 4 + inlineKeyBytes(word))),
      value: Buffer.from(page.u8.subarray(valueAt, valueAt + inlineValueBytes(word)))
    })
  }
  return entries
}

function check(page: PageBytes): void {
  expect(validatePage(page, base, sizeBytes)).toBeUndefined()
  const margin = Buffer.alloc(64, 0xa5)
  expect(page.u8.subarray(0, base).equals(margin)).toBe(true)
  expect(page.u8.subarray(base + sizeBytes).equals(margin)).toBe(true)
}

/** Keys that share prefixes, tie in their heads and contain zero bytes. */
const keys = fc.oneof(
  fc.array(fc.constantFrom(0, 1, 97, 98, 255), { maxLength: 9 }).map((bytes) => Buffer.from(bytes)),
  fc.integer({ min: 0, max: 99 }).map((n) => Buffer.from(`user${String(n).padStart(8, '0')}`)),
  fc.uint8Array({ maxLength: 20 }).map((bytes) => Buffer.from(bytes))
)
const values = fc.uint8Array({ maxLength: 70 }).map((bytes) => Buffer.from(bytes))
const commands = fc.array(
  fc.oneof(
    { weight: 6, arbitrary: fc.record({ type: fc.constant('put'), key: keys, value: values }) },
    { weight: 2, arbitrary: fc.record({ type: fc.constant('remove'), at: fc.nat() }) },
    {
      weight: 1,
      arbitrary: fc.record({ type: fc.constant('removeRange'), at: fc.nat(), count: fc.nat(5) })
    },
    { weight: 1, arbitrary: fc.record({ type: fc.constant('compact') }) }
  ),
  { maxLength: 60 }
)

describe('a sorted page', () => {
  test('behaves like a sorted array under any sequence of changes', () => {
    fc.assert(
      fc.property(commands, fc.array(keys, { maxLength: 10 }), (steps, probes) => {
        const { page, editor } = newPage()
        editor.setFence(page, base, false, { key: Buffer.from('lo'), inexact: false })
        let model: Entry[] = []
        for (const step of steps) {
          if (step.type === 'put' && 'key' in step) {
            const { key, value } = step
            const there = model.findIndex((entry) => entry.key.equals(key))
            const free = freeBytes(page, base)
            if (put(page, editor, { key, value })) {
              if (there >= 0) model[there] = { key, value }
              else model.push({ key, value })
              model.sort((a, b) => compareBytes(a.key, b.key))
            } else {
              if (there >= 0) model.splice(there, 1)
              else expect(free).toBeLessThan(plainEntryBytes(key.length, value.length) + 8)
            }
          } else if (model.length > 0 && 'at' in step) {
            const from = step.at % model.length
            const to = Math.min(model.length, 'count' in step ? from + step.count : from + 1)
            editor.remove(page, base, from, to)
            model = model.filter((_, i) => i < from || i >= to)
          } else if (step.type === 'compact') editor.compact(page, base)
          check(page)
        }
        expect(contents(page)).toEqual(model)
        editor.arrange(page, base)
        check(page)
        expect(contents(page)).toEqual(model)
        for (let i = 1; i < model.length; i++) {
          expect(entryAt(page, base, i)).toBeLessThan(entryAt(page, base, i - 1))
        }
        expect(fenceAt(page, base, false)?.key.toString()).toBe('lo')
        expect(fenceAt(page, base, true)).toBeUndefined()
        for (const probe of [...probes, ...model.map((entry) => entry.key)]) {
          const found = searchPage(page, base, probe, 0, probe.length, noLongKeys)
          const there = model.findIndex((entry) => entry.key.equals(probe))
          const behind = model.filter((entry) => compareBytes(entry.key, probe) < 0).length
          expect(found).toBe(there >= 0 ? there : ~behind)
          const entry = findInPage(page, base, probe, 0, probe.length, noLongKeys)
          expect(entry).toBe(there >= 0 ? entryAt(page, base, there) : -1)
        }
      }),
      { numRuns: 2000 }
    )
  })

  test('finds each of its keys, and the places between them, however many there are', () => {
    const editor = new PageEditor(32_768)
    const bytes = new ArrayBuffer(32_768)
    const page = { u8: Buffer.from(bytes), u32: new Uint32Array(bytes) }
    fc.assert(
      fc.property(
        fc.integer({ min: 0, max: 1000 }),
        fc.oneof(fc.integer({ min: 1, max: 9 }), fc.integer({ min: 1, max: 70_000 })),
        fc.boolean(),
        fc.constantFrom('', 'k', 'key number '),
        (count, step, far, prefix) => {
          // A last key far away leaves so little in the heads that many entries share one.
          const numberOf = (i: number): number =>
            2 * i * step + (far && i >= count - 1 ? 2 ** 44 : 0)
          const keyOf = (number: number): Buffer => {
            const key = Buffer.alloc(prefix.length + 6)
            key.write(prefix)
            key.writeUIntBE(number, prefix.length, 6)
            return key
          }
          editor.clear(page, 0, 0)
          for (let i = 0; i < count; i++) {
            const key = keyOf(numberOf(i))
            const entry = editor.reserve(page, 0, i, plainEntryBytes(key.length, 0))
            writePlainEntry(page, entry, key, 0, key.length, key.length)
            editor.finishInsert(page, 0, i)
          }
          for (let i = 0; i <= count; i++) {
            const [there, between] = [keyOf(numberOf(i)), keyOf(numberOf(i) + 1)]
            const found = searchPage(page, 0, there, 0, there.length, noLongKeys)
            const absent = searchPage(page, 0, between, 0, between.length, noLongKeys)
            if (found !== (i < count ? i : ~count)) expect(found).toBe(i)
            if (absent !== ~Math.min(count, i + 1)) expect(absent).toBe(~(i + 1))
            const entry = findInPage(page, 0, there, 0, there.length, noLongKeys)
            if (entry !== (i < count ? entryAt(page, 0, i) : -1)) expect(entry).toBe(i)
            expect(findInPage(page, 0, between, 0, between.length, noLongKeys)).toBe(-1)
          }
        }
      ),
      { numRuns: 100 }
    )
  })

  test('is rebuilt from ranges of other pages', () => {
    fc.assert(
      fc.property(commands, fc.nat(), fc.nat(), (steps, a, b) => {
        const { page, editor } = newPage()
        for (const step of steps) if ('key' in step) put(page, editor, step)
        const before = contents(page)
        const [from, to] = [a, b].map((n) => n % (before.length + 1)).sort((x, y) => x - y)
        const staged = editor.stagePage(1, page, base)
        editor.clear(page, base, 0)
        editor.append(page, base, editor.stage, staged, from, to)
        editor.finishAppend(page, base)
        check(page)
        expect(contents(page)).toEqual(before.slice(from, to))
      }),
      { numRuns: 1000 }
    )
  })

  test('with any bytes changed is refused, or else stays within its bounds when used', () => {
    let accepted = 0
    let refused = 0
    fc.assert(
      fc.property(
        commands,
        fc.array(fc.record({ at: fc.nat(sizeBytes - 1), byte: fc.nat(255) }), {
          minLength: 1,
          maxLength: 4
        }),
        fc.boolean(),
        fc.array(keys, { maxLength: 5 }),
        (steps, changes, inHeader, probes) => {
          const { page, editor } = newPage()
          for (const step of steps) if ('key' in step) put(page, editor, step)
          const span = inHeader ? 16 + 8 * entryCount(page, base) : sizeBytes
          for (const { at, byte } of changes) page.u8[base + (at % span)] = byte
          if (validatePage(page, base, sizeBytes) !== undefined) {
            refused++
            return
          }
          accepted++
          for (const probe of probes) {
            searchPage(page, base, probe, 0, probe.length, noLongKeys)
            findInPage(page, base, probe, 0, probe.length, noLongKeys)
            put(page, editor, { key: probe, value: Buffer.alloc(9, 7) })
          }
          contents(page)
          editor.compact(page, base)
          editor.remove(page, base, 0, entryCount(page, base))
          check(page)
        }
      ),
      { numRuns: 5000 }
    )
    expect(accepted).toBeGreaterThan(100)
    expect(refused).toBeGreaterThan(1000)
  })

  test('has the bytes of the example in its specification', () => {
    const editor = new PageEditor(256)
    const memory = new ArrayBuffer(base + 256)
    const page = { u8: Buffer.from(memory), u32: new Uint32Array(memory) }
    editor.clear(page, base, 0)
    put(page, editor, { key: Buffer.from('ka'), value: Buffer.from('1') })
    put(page, editor, { key: Buffer.from('kb'), value: Buffer.from('22') })
    const expected = Buffer.alloc(256)
    expected.set(Buffer.from('02000100e8000000' + '0000000000000000', 'hex'), 0)
    expected.set(Buffer.from('00000061f400000000000062e8000000', 'hex'), 16)
    expected.set(Buffer.from('020002006b62000032320000', 'hex'), 0xe8)
    expected.set(Buffer.from('020001006b61000031000000', 'hex'), 0xf4)
    expect(page.u8.subarray(base).toString('hex')).toBe(expected.toString('hex'))
  })
})
