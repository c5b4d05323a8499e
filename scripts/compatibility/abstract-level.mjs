// abstract-level's own suite on `Level` of the package `level`; argument `sublevel`: on one of its
// sublevels instead.
import { mkdtempSync } from 'node:fs'
import { createRequire } from 'node:module'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { collectTape } from './tape-results.mjs'

const require = createRequire(import.meta.url)
const { Level } = require('level')
const suite = require('abstract-level/test')
const onSublevel = process.argv[2] === 'sublevel'

const test = collectTape()
suite({
  test,
  factory(options) {
    const directory = mkdtempSync(join(tmpdir(), 'level-'))
    if (!onSublevel) return new Level(directory, options)
    // The options are meant for the database under test.
    const { keyEncoding, valueEncoding, ...rest } = options ?? {}
    return new Level(directory).sublevel('a', { ...rest, keyEncoding, valueEncoding })
  },
  internals: {}
})
