// abstract-level's own suite on `Level` of the package `level`; argument `sublevel`: on one of its
// sublevels instead.
import { mkdtempSync, rmSync } from 'node:fs'
import { createRequire } from 'node:module'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { collectTape } from './tape-results.mjs'

const require = createRequire(import.meta.url)
const { Level } = require('level')
const suite = require('abstract-level/test')
const onSublevel = process.argv[2] === 'sublevel'

/** Some are made long before their test runs; those before are done with, and hold space on the disk. */
const keptDatabases = 500
const databases = []

function makeLevel(options) {
  const directory = mkdtempSync(join(tmpdir(), 'level-'))
  const db = new Level(directory, options)
  databases.push({ db, directory })
  if (databases.length > keptDatabases) {
    const done = databases.shift()
    const remove = () => rmSync(done.directory, { recursive: true, force: true })
    // What a test listened for has long been heard.
    done.db.removeAllListeners()
    done.db.close().then(remove, remove)
  }
  return db
}

suite({
  test: collectTape(),
  factory: (options) => (onSublevel ? makeLevel().sublevel('a', options) : makeLevel(options)),
  internals: {}
})
