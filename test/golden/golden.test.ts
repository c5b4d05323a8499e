import fs from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { describe, expect, it } from 'vitest'
import { open } from '../../dist/index.js'
import { type AnyStore, useStores } from '../helpers/store.js'
import { testedBackend } from '../helpers/tested-backend.js'
import { goldenEntries, goldenOptions } from './content.mjs'

const stores = useStores()
const golden = fileURLToPath(new URL(testedBackend, import.meta.url))
const versions = fs.readdirSync(golden).filter((name) => /^v\d+$/.test(name))

function copyOf(version: string, name: string): string {
  const directory = join(stores.directory(), name)
  fs.cpSync(join(golden, version, name), directory, { recursive: true })
  return directory
}

/** LevelDB's cursors cannot wait, so all are read as they can. */
async function entriesOf(store: AnyStore): Promise<[string, Buffer][]> {
  const found: [string, Buffer][] = []
  for await (const [key, value] of store.entries()) found.push([key.toString('latin1'), value])
  return found
}

describe.each(versions)('a store of format %s', (version) => {
  it.each(['closed', 'killed'])('that was %s opens with all it held', async (name) => {
    const path = copyOf(version, name)
    const store = await open(path, { ...goldenOptions, backend: testedBackend })
    expect(store.recovery.clean).toBe(name === 'closed')
    expect(store.recovery.replayedCommits > 0).toBe(name === 'killed')
    expect(await entriesOf(store)).toEqual(goldenEntries())
    expect(await store.verify('comprehensive')).toEqual([])
    await store.put('new', 'value')
    await store.close()
    const again = await open(path)
    expect(await entriesOf(again)).toHaveLength(goldenEntries().length + 1)
    await again.close()
  })

  it.each(['closed', 'killed'])('that was %s is read without a change', async (name) => {
    const path = copyOf(version, name)
    const bytesOf = () =>
      (fs.readdirSync(path, { recursive: true }) as string[])
        .filter((file) => file !== 'LOCK' && fs.statSync(join(path, file)).isFile())
        .sort()
        .map((file) => [file, fs.readFileSync(join(path, file)).toString('base64')])
    const before = bytesOf()
    const reader = await open(path, { readOnly: true })
    expect(await entriesOf(reader)).toEqual(goldenEntries())
    await reader.close()
    expect(bytesOf()).toEqual(before)
  })
})

describe('golden stores', () => {
  it('exist for format version 1', () => {
    expect(versions).toContain('v1')
  })
})
