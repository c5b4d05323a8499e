// Opens the level store argv[2] read-only, says so, and keeps it open until it is killed.
import { writeSync } from 'node:fs'
import { open } from '../../dist/index.js'

await open(process.argv[2], { readOnly: true })
writeSync(1, 'open\n')
process.stdin.resume()
