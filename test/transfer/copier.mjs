// Copies by the function argv[2] from argv[3] to argv[4] with the options in argv[5], and says with
// every report how far it is.
import { writeSync } from 'node:fs'
import { exportLevelDb, importLevelDb, migrate } from '../../dist/index.js'

const copies = { exportLevelDb, importLevelDb, migrate }
const [, , name, source, destination, options] = process.argv
const onProgress = (done, total, unit) =>
  writeSync(1, `${unit === 'entries' ? 'copy' : 'check'} ${done}\n`)
writeSync(1, 'begun\n')
const report = await copies[name](source, destination, { ...JSON.parse(options), onProgress })
writeSync(1, `${JSON.stringify(report)}\n`)
