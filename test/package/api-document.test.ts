import fs from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { KintsugiLevel } from '../../dist/abstract-level/kintsugi-level.js'
import { limits, optionNames, resolveOptions } from '../../src/options.js'
import { Snapshot } from '../../src/store/snapshot.js'
import { Store } from '../../src/store/store.js'
import { StoreIterator } from '../../src/store/iterator.js'
import { projectRoot } from '../helpers/source-files.js'

const read = (path: string) => fs.readFileSync(join(projectRoot, path), 'utf8')
const page = read('docs/api.md')

/** Public methods and getters of a class, inherited ones included. */
function members(prototype: object): string[] {
  const names: string[] = []
  for (let at = prototype; at !== Object.prototype; at = Object.getPrototypeOf(at)) {
    names.push(...Object.getOwnPropertyNames(at))
  }
  const inner = ['constructor', 'reads', 'openView', 'closeIterators', 'return']
  return names.filter((name) => !inner.includes(name))
}

describe('docs/api.md', () => {
  it('names every option with its default', () => {
    const defaults = resolveOptions({})
    for (const name of optionNames) {
      const row = page.split('\n').find((line) => line.startsWith(`| \`${name}\` |`))
      expect(row, name).toBeDefined()
      expect(bytesIn(row!.split('|')[2])).toBe(String(defaults[name]))
    }
  })

  it('names everything that stores, snapshots and iterators can do', () => {
    for (const { prototype } of [Store, Snapshot, StoreIterator]) {
      for (const name of members(prototype)) expect(page).toMatch(new RegExp(`\\b${name}\\b`))
    }
  })

  it('names what KintsugiLevel adds to the databases of Level', () => {
    const isPrivate = (name: string) => name.startsWith('_') || name === 'constructor'
    for (const owner of [KintsugiLevel, KintsugiLevel.prototype]) {
      const names = Object.getOwnPropertyNames(owner).filter((name) => !isPrivate(name))
      for (const name of names) {
        if (!['length', 'name', 'prototype'].includes(name)) expect(page).toContain(name)
      }
    }
    // Every option of LevelDB's, and every code that an error of the store may get.
    const level = read('docs/compatibility.md')
    const options = /interface OpenOptions([^]*?)\n\}/.exec(read('src/abstract-level/options.ts'))!
    const names = [...options[1].matchAll(/^ {2}(\w+)\?:/gm)].map(([, name]) => name)
    expect(names.length).toBeGreaterThan(7)
    for (const name of names) expect(level).toContain(`\`${name}\``)
  })

  it('names every error code and every event', () => {
    const codes = new Set(read('src/errors.ts').match(/^ {2}KINTSUGI_\w+(?=:)/gm))
    expect(codes.size).toBeGreaterThan(25)
    for (const code of codes) expect(page).toContain(`\`${code.trim()}\``)
    const events = /interface StoreEvents \{([^]*?)\n\}/.exec(read('src/telemetry/telemetry.ts'))!
    const names = [...events[1].matchAll(/^ {2}'?([\w-]+)'?: \[/gm)].map(([, name]) => name)
    expect(names.length).toBeGreaterThan(6)
    for (const name of names) expect(page).toContain(`\`${name}\``)
  })

  it('has the limits of keys and values right', () => {
    expect(page).toContain(`above ${limits.keyBytes.toLocaleString('en')} bytes, 1 GiB`)
    expect(limits.valueBytes).toBe(2 ** 30)
  })
})

/** A default as the page writes it, as the code has it: `1 MiB` is 1048576. */
function bytesIn(cell: string): string {
  const [, number, unit = ''] = /^ `?'?([\w,-]+)'?`?(?: ([KM]iB))? $/.exec(cell) ?? []
  const plain = number.replaceAll(',', '')
  return unit === '' ? plain : String(Number(plain) * (unit === 'KiB' ? 1024 : 1024 ** 2))
}
