// Builds the native addon into prebuilds/<platform>-<arch>/kintsugi.node. Downloads nothing, skips
// the build when the sources have not changed, and ends well without an addon too: everything then
// runs on the slower JavaScript forms.
import { spawnSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import fs from 'node:fs'
import { createRequire } from 'node:module'
import path from 'node:path'
import { fileURLToPath } from 'node:url'

const root = fileURLToPath(new URL('..', import.meta.url))
const require = createRequire(import.meta.url)
const target = path.join(root, 'prebuilds', `${process.platform}-${process.arch}`, 'kintsugi.node')
const stampPath = path.join(root, 'build', 'kintsugi.stamp')

function sourceFiles() {
  const native = fs
    .readdirSync(path.join(root, 'native'), { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => path.relative(root, path.join(entry.parentPath, entry.name)))
  return ['binding.gyp', 'scripts/build-native.mjs', ...native].sort()
}

/** One hash over what the result depends on: names and contents of the sources, and the machine. */
function stampOfSources() {
  const hash = createHash('sha256').update(`${process.platform}-${process.arch}\n`)
  for (const name of sourceFiles()) {
    const content = fs.readFileSync(path.join(root, name))
    hash.update(`${name} ${content.length}\n`).update(content)
  }
  return hash.digest('hex')
}

function isUpToDate(stamp) {
  return (
    fs.existsSync(target) &&
    fs.existsSync(stampPath) &&
    fs.readFileSync(stampPath, 'utf8') === stamp
  )
}

/**
 * A directory whose include/node holds the headers: Node's own prefix, or a copy of the
 * node-api-headers package in the same layout (those are all that the addon includes).
 */
function headersDirectory() {
  const prefix = path.resolve(path.dirname(fs.realpathSync(process.execPath)), '..')
  const own = path.join(prefix, 'include', 'node')
  if (fs.existsSync(path.join(own, 'node_api.h')) && fs.existsSync(path.join(own, 'common.gypi'))) {
    return prefix
  }
  // Not below build/, which node-gyp empties first.
  const directory = path.join(root, 'node_modules', '.cache', 'kintsugi-headers')
  const include = path.join(directory, 'include', 'node')
  fs.mkdirSync(include, { recursive: true })
  fs.cpSync(require('node-api-headers').include_dir, include, { recursive: true })
  fs.writeFileSync(path.join(include, 'common.gypi'), commonGypi)
  return directory
}

/** What node-gyp expects from a Node distribution, reduced to what a plain C++ file needs. */
const commonGypi = `{
  'target_defaults': {
    'default_configuration': 'Release',
    'configurations': { 'Release': {}, 'Debug': {} },
    'cflags': ['-fPIC', '-pthread'],
    'ldflags': ['-pthread'],
    'conditions': [
      ['OS=="mac"', { 'xcode_settings': { 'OTHER_LDFLAGS': ['-undefined dynamic_lookup'] } }],
    ],
  },
}
`

function build() {
  const nodeGyp = require.resolve('node-gyp/bin/node-gyp.js')
  const result = spawnSync(
    process.execPath,
    [nodeGyp, 'rebuild', '--release', `--nodedir=${headersDirectory()}`, '--loglevel=warn'],
    { cwd: root, encoding: 'utf8', env: { ...process.env, npm_config_offline: 'true' } }
  )
  if (result.error) throw result.error
  if (result.status !== 0) {
    throw new Error(`node-gyp ended with ${result.status}\n${result.stdout}${result.stderr}`)
  }
  return path.join(root, 'build', 'Release', 'kintsugi.node')
}

/** By rename, so that a process that has the old binary mapped keeps it whole. */
function publish(built) {
  fs.mkdirSync(path.dirname(target), { recursive: true })
  const temporary = `${target}.${process.pid}.tmp`
  fs.copyFileSync(built, temporary)
  fs.renameSync(temporary, target)
}

const stamp = stampOfSources()
if (process.platform === 'win32') {
  console.log('native addon: not available on Windows yet; using the JavaScript forms')
} else if (isUpToDate(stamp)) {
  console.log('native addon: up to date')
} else {
  // A binary of older sources must not be loaded in place of the one that could not be built.
  fs.rmSync(target, { force: true })
  try {
    publish(build())
    fs.writeFileSync(stampPath, stamp)
    console.log(`native addon: built ${path.relative(root, target)}`)
  } catch (error) {
    console.log(`${error.message}

native addon: NOT built (reason above). Kintsugi works without it, with weaker forms in JavaScript:
an advisory lock that a crash leaves behind, preallocation by writing zeros, and one more thread-pool
trip for a durable write. It needs Python 3 and a C++17 compiler (Debian: apt install python3 g++).`)
  }
}
