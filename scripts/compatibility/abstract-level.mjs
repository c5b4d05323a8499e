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
const newDirectory = () => mkdtempSync(join(tmpdir(), 'level-'))

suite({
  test: collectTape(),
  factory: (options) =>
    onSublevel
      ? new Level(newDirectory()).sublevel('a', options)
      : new Level(newDirectory(), options),
  internals: {}
})
