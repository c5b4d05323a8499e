// The test of level-read-stream, laid beside the installed package.
import { createRequire } from 'node:module'
import { collectTape } from './tape-results.mjs'

collectTape()
createRequire(import.meta.url)('./node_modules/level-read-stream/test.js')
