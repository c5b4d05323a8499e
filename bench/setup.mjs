// Builds the one peer that ships no binary. The headers lie beside Node itself, so nothing is
// downloaded; all other peers bring prebuilt binaries and need no install script.
import { spawnSync } from 'node:child_process'
import { existsSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

const here = dirname(fileURLToPath(import.meta.url))
const sqlite = join(here, 'node_modules', 'better-sqlite3')
const prefix = dirname(dirname(process.execPath))
const nodeGyp = join(here, 'node_modules', 'node-gyp', 'bin', 'node-gyp.js')

if (existsSync(join(sqlite, 'build', 'Release', 'better_sqlite3.node'))) {
  console.log('better-sqlite3 is built already')
} else {
  const args = [nodeGyp, 'rebuild', '--release']
  if (existsSync(join(prefix, 'include', 'node', 'node.h'))) args.push(`--nodedir=${prefix}`)
  const result = spawnSync(process.execPath, args, { cwd: sqlite, stdio: 'inherit' })
  if (result.status !== 0) {
    console.error('better-sqlite3 could not be built; its column will say so, the rest works')
  }
}
