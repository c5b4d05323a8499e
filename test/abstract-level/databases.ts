import fs from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach } from 'vitest'
import { KintsugiLevel, type DatabaseOptions } from '../../dist/abstract-level/kintsugi-level.js'
import { testedBackend } from '../helpers/tested-backend.js'

/** Databases of the tested backend in fresh directories; closed and removed after each test. */
export function useDatabases() {
  let opened: { close(): Promise<void> }[] = []
  let directories: string[] = []

  afterEach(async () => {
    for (const database of opened.splice(0)) await database.close()
    for (const directory of directories) fs.rmSync(directory, { recursive: true, force: true })
    opened = []
    directories = []
  })

  const directory = (): string => {
    const made = fs.mkdtempSync(join(tmpdir(), 'kintsugi-level-'))
    directories.push(made)
    return join(made, 'db')
  }
  return {
    directory,
    make<K = string, V = string>(
      options: DatabaseOptions<K, V> = {},
      location = directory()
    ): KintsugiLevel<K, V> {
      const database = new KintsugiLevel<K, V>(location, { backend: testedBackend, ...options })
      opened.push(database)
      return database
    }
  }
}

/** What a call fails with; succeeding is the test's failure. */
export async function failure(call: () => unknown): Promise<LevelFailure> {
  try {
    await call()
  } catch (error) {
    return error as LevelFailure
  }
  throw new Error('expected an error')
}

interface LevelFailure extends Error {
  readonly code: string
  readonly cause?: LevelFailure
}
