// Runs abstract-level's exported suite in a process of its own: `node suite.mjs BACKEND DIRECTORY`.
// It covers a database, then a sublevel of one. The backend `classic-level` is the reference.
import { join } from 'node:path'
import suite from 'abstract-level/test/index.js'
import test from 'tape'

const [backend, directory] = process.argv.slice(2)
let databases = 0

async function databaseClass() {
  if (backend === 'classic-level') return (await import('classic-level')).ClassicLevel
  const { KintsugiLevel } = await import('../../dist/abstract-level/kintsugi-level.js')
  // The suite compares the options that hooks get with what it gave, so they stay as they are.
  return class extends KintsugiLevel {
    _open(options) {
      return super._open({ backend, ...options })
    }
  }
}

const Database = await databaseClass()
suite({
  test,
  factory: (options) => new Database(join(directory, String(databases++)), options)
})
