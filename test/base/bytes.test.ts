import { expect, it } from 'vitest'
import { formatKey } from '../../dist/base/bytes.js'

it('shows keys as quoted text where they are text, and otherwise in hexadecimal', () => {
  const cases: [string | number[], string][] = [
    ['city:7', '"city:7"'],
    ['say "hi"\\', String.raw`"say \"hi\"\\"`],
    ['city:7\0', String.raw`"city:7\0"`],
    ['2B\0AER\0KZN', String.raw`"2B\0AER\0KZN"`],
    [String.raw`a\u0000`, String.raw`"a\\u0000"`],
    ['', '0x'],
    [[0], '0x00'],
    [[0, 0, 0, 65], '0x00000041'],
    [[65, 10], '0x410a'],
    ['é', '0xc3a9'],
    ['x'.repeat(70), `"${'x'.repeat(64)}"… (70 bytes)`]
  ]
  for (const [key, shown] of cases) expect(formatKey(Buffer.from(key as string))).toBe(shown)
})
