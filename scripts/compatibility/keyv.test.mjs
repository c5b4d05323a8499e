// The suite of @keyv/test-suite on Keyv over Level.
import { mkdtempSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import keyvTestSuite, { keyvIteratorTests } from '@keyv/test-suite'
import Keyv from 'keyv'
import { Level } from 'level'
import * as vitest from 'vitest'
import { KeyvLevel } from './keyv-level.mjs'

const db = new Level(mkdtempSync(join(tmpdir(), 'level-')))
const store = () => new KeyvLevel(db)

keyvTestSuite(vitest, Keyv, store)
keyvIteratorTests(vitest, Keyv, store)
