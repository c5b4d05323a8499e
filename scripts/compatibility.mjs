// Runs the tests of npm packages that sit on Level: on classic-level, and on KintsugiLevel with each
// backend, put in its place by npm `overrides`. Prints a table; `--write` puts it into
// docs/compatibility.md between the markers. Needs the npm registry; takes minutes.
//
//   node scripts/compatibility.mjs [--write] [--only SUITE,...] [--on TARGET,...] [--tests DIR]
//
// Two packages publish no tests. Their repositories have them: with `--tests DIR`, DIR/read-stream.js
// is the test.js of Level/read-stream, and DIR/quadstore/ is the directory test/ of
// quadstorejs/quadstore; without it their rows stay as they are.
import { spawnSync } from 'node:child_process'
import fs from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'

const root = dirname(dirname(fileURLToPath(import.meta.url)))
const runners = join(root, 'scripts', 'compatibility')
const document = join(root, 'docs', 'compatibility.md')
const { values: args } = parseArgs({
  options: {
    write: { type: 'boolean', default: false },
    keep: { type: 'boolean', default: false },
    only: { type: 'string' },
    on: { type: 'string' },
    tests: { type: 'string' }
  }
})
const timeoutMs = 600_000

const dependencies = {
  level: '10',
  'level-read-stream': '2',
  'datastore-level': '13',
  'interface-datastore-tests': '7',
  'blockstore-level': '4',
  'interface-blockstore-tests': '9',
  '@keyv/test-suite': '2',
  keyv: '5',
  quadstore: '15',
  'abstract-level': '3',
  // What their tests need.
  mocha: '11',
  vitest: '4',
  esbuild: '0.25',
  tape: '5',
  chai: '4',
  'chai-as-promised': '7',
  'chai-parentheses': '0.0.2',
  'rdf-data-factory': '2',
  'secret-event-listener': '1',
  'readable-stream': '4',
  // What classic-level needs where it is not the one that was asked for.
  'module-error': '1',
  'napi-macros': '2',
  'node-gyp-build': '4'
}

const targets = ['classic-level', 'btree', 'lsm', 'level']

const suites = [
  {
    name: 'abstract-level',
    label: '`level` 10, with the suite of `abstract-level` 3',
    run: tape('abstract-level.mjs')
  },
  {
    name: 'abstract-level-sublevel',
    label: 'the same on a sublevel',
    run: tape('abstract-level.mjs', 'sublevel')
  },
  {
    name: 'read-stream',
    label: '`level-read-stream` 2',
    needs: 'read-stream.js',
    prepare(project, tests) {
      const to = join(project, 'node_modules', 'level-read-stream', 'test.js')
      fs.copyFileSync(join(tests, 'read-stream.js'), to)
    },
    run: tape('read-stream.mjs')
  },
  {
    name: 'datastore',
    label: '`datastore-level` 13, with `interface-datastore-tests` 7',
    run: mocha('datastore.spec.mjs')
  },
  {
    name: 'blockstore',
    label: '`blockstore-level` 4, with `interface-blockstore-tests` 9',
    run: mocha('blockstore.spec.mjs')
  },
  { name: 'keyv', label: '`@keyv/test-suite` 2, through an adapter', run: vitest('keyv.test.mjs') },
  {
    name: 'quadstore',
    label: '`quadstore` 15, tests of its backend',
    needs: 'quadstore',
    prepare(project, tests) {
      const to = join(project, 'node_modules', 'quadstore', 'test')
      fs.cpSync(join(tests, 'quadstore'), to, { recursive: true })
    },
    run: mocha('quadstore.spec.mjs')
  }
]

function node(project, target, ...argv) {
  const env = { ...process.env, TMPDIR: join(project, 'tmp'), NODE_NO_WARNINGS: '1' }
  if (target !== 'classic-level') env.COMPATIBILITY_BACKEND = target
  fs.mkdirSync(env.TMPDIR, { recursive: true })
  const options = { cwd: project, env, encoding: 'utf8', timeout: timeoutMs, maxBuffer: 1e9 }
  const { stdout, stderr, status, signal } = spawnSync(process.execPath, argv, options)
  fs.rmSync(env.TMPDIR, { recursive: true, force: true })
  return { stdout, stderr, status, signal }
}

function tape(...argv) {
  return (project, target) => {
    const ran = node(project, target, ...argv)
    const line = ran.stdout.split('\n').find((text) => text.startsWith('RESULT '))
    process.stderr.write(ran.stderr)
    return line === undefined ? broken(ran) : JSON.parse(line.slice(7))
  }
}

function mocha(file) {
  return (project, target) => {
    const ran = node(
      project,
      target,
      'node_modules/mocha/bin/mocha.js',
      '--exit',
      '--reporter',
      'json',
      '--timeout',
      '30000',
      file
    )
    const start = ran.stdout.indexOf('{\n')
    if (start < 0) return broken(ran)
    const { stats, failures } = JSON.parse(ran.stdout.slice(start))
    for (const { fullTitle, err } of failures) console.error(`${fullTitle}: ${err.message}`)
    return {
      total: stats.passes + stats.failures,
      passed: stats.passes,
      skipped: stats.pending,
      failed: failures.map((test) => test.fullTitle)
    }
  }
}

function vitest(file) {
  return (project, target) => {
    const ran = node(
      project,
      target,
      'node_modules/vitest/vitest.mjs',
      'run',
      '--reporter',
      'json',
      file
    )
    const start = ran.stdout.indexOf('{"num')
    if (start < 0) return broken(ran)
    const report = JSON.parse(ran.stdout.slice(start))
    const tests = report.testResults.flatMap((result) => result.assertionResults)
    const failed = tests.filter((test) => test.status === 'failed')
    for (const test of failed) console.error(`${test.fullName}: ${test.failureMessages[0]}`)
    return {
      total: report.numPassedTests + report.numFailedTests,
      passed: report.numPassedTests,
      skipped: report.numPendingTests + report.numTodoTests,
      failed: failed.map((test) => test.fullName)
    }
  }
}

function broken({ stdout, stderr, status, signal }) {
  console.error(stdout.slice(-2000), stderr.slice(-2000))
  return { total: 0, passed: 0, skipped: 0, failed: [`ended with ${signal ?? status}`] }
}

function npm(directory, ...argv) {
  const options = { cwd: directory, stdio: ['ignore', 'ignore', 'inherit'] }
  const { status } = spawnSync(
    'npm',
    [...argv, '--no-audit', '--no-fund', '--loglevel=error'],
    options
  )
  if (status !== 0) throw new Error(`npm ${argv[0]} failed in ${directory}`)
}

function writeFiles(directory, files) {
  for (const [name, content] of Object.entries(files)) {
    const path = join(directory, name)
    fs.mkdirSync(dirname(path), { recursive: true })
    fs.writeFileSync(path, typeof content === 'string' ? content : JSON.stringify(content, null, 2))
  }
}

/** The packages that stand in for others, as npm installs them. */
function writeStandIns(project) {
  writeFiles(project, {
    // Only its assertions are used, and it brings a thousand packages along.
    'stand-ins/aegir/package.json': {
      name: 'aegir',
      version: '47.0.0',
      type: 'module',
      exports: { './chai': './chai.js' }
    },
    'stand-ins/aegir/chai.js': `import * as chai from 'chai'
import chaiAsPromised from 'chai-as-promised'
import chaiParentheses from 'chai-parentheses'
chai.use(chaiAsPromised)
chai.use(chaiParentheses)
export const { expect } = chai
`,
    // Tests that only want any database get the one under test.
    'stand-ins/memory-level/package.json': { name: 'memory-level', version: '3.1.0' },
    'stand-ins/memory-level/index.js': `const { mkdtempSync } = require('node:fs')
const { join } = require('node:path')
const { Level } = require('level')
exports.MemoryLevel = class extends Level {
  constructor(options) {
    super(mkdtempSync(join(require('node:os').tmpdir(), 'level-')), options)
  }
}
`,
    // What users write to put Kintsugi in the place of classic-level, apart from the choice of backend.
    'stand-ins/classic-level/package.json': {
      name: 'classic-level',
      version: '3.0.0',
      peerDependencies: { 'kintsugi-db': '*' }
    },
    'stand-ins/classic-level/index.js': `const { KintsugiLevel } = require('kintsugi-db/level')
const backend = process.env.COMPATIBILITY_BACKEND
exports.ClassicLevel = class ClassicLevel extends KintsugiLevel {
  _open(options) {
    // Some suites make thousands of databases and leave them open.
    return super._open({ walSegmentBytes: 65536, ...options, backend })
  }
}
`
  })
}

function makeProject(directory, onKintsugi) {
  fs.mkdirSync(directory, { recursive: true })
  writeStandIns(directory)
  const manifest = {
    name: 'compatibility',
    private: true,
    dependencies: {
      ...dependencies,
      aegir: 'file:./stand-ins/aegir',
      'memory-level': 'file:./stand-ins/memory-level'
    }
  }
  if (onKintsugi) {
    npm(root, 'pack', '--pack-destination', directory, '--ignore-scripts')
    const tarball = fs.readdirSync(directory).find((name) => name.endsWith('.tgz'))
    manifest.dependencies['kintsugi-db'] = `file:./${tarball}`
    manifest.overrides = { 'classic-level': 'file:./stand-ins/classic-level' }
  }
  writeFiles(directory, { 'package.json': manifest })
  // Native builds of what is not under test are not wanted; what is comes with prebuilt binaries.
  npm(directory, 'install', '--ignore-scripts')
  if (onKintsugi) installPeer(directory)
  for (const name of fs.readdirSync(runners)) {
    fs.copyFileSync(join(runners, name), join(directory, name))
  }
}

/** The adapter over LevelDB needs the real classic-level, which the override hides. */
function installPeer(project) {
  const to = join(project, 'node_modules', 'kintsugi-db', 'node_modules', 'classic-level')
  const pack = join(project, 'peer')
  fs.mkdirSync(pack)
  npm(pack, 'pack', 'classic-level@3')
  const [tarball] = fs.readdirSync(pack)
  fs.mkdirSync(to, { recursive: true })
  const { status } = spawnSync('tar', [
    'xzf',
    join(pack, tarball),
    '-C',
    to,
    '--strip-components=1'
  ])
  if (status !== 0) throw new Error(`${tarball} cannot be unpacked`)
}

function cell({ passed, total, assertions, passedAssertions }) {
  const tests = `${passed} / ${total}`
  return assertions === undefined ? tests : `${tests} (${passedAssertions} / ${assertions})`
}

function writeTable(text) {
  const [begin, end] = ['<!-- packages -->', '<!-- /packages -->']
  const before = fs.readFileSync(document, 'utf8')
  if (!before.includes(begin) || !before.includes(end)) {
    throw new Error(`${document} has no markers ${begin} and ${end}`)
  }
  const [head, rest] = before.split(begin)
  fs.writeFileSync(document, `${head}${begin}\n\n${text}\n\n${end}${rest.split(end)[1]}`)
}

const chosen = (all, list) => all.filter((name) => !list || list.split(',').includes(name))
const on = chosen(targets, args.on)
const only = chosen(
  suites.map(({ name }) => name),
  args.only
)
const work = fs.mkdtempSync(join(tmpdir(), 'compatibility-'))
console.error(`in ${work}`)
const projects = { kintsugi: join(work, 'kintsugi'), classic: join(work, 'classic') }
if (on.includes('classic-level')) makeProject(projects.classic, false)
if (on.some((target) => target !== 'classic-level')) makeProject(projects.kintsugi, true)

const rows = []
let ours = 0
for (const suite of suites) {
  const { name, label, needs } = suite
  if (!only.includes(name)) continue
  if (needs !== undefined && (!args.tests || !fs.existsSync(join(args.tests, needs)))) {
    console.error(`${name}: no tests; see --tests`)
    continue
  }
  const baseline = new Set()
  const results = on.map((target) => {
    const project = target === 'classic-level' ? projects.classic : projects.kintsugi
    suite.prepare?.(project, resolve(args.tests ?? '.'))
    const result = suite.run(project, target)
    console.log(`${name} on ${target}: ${cell(result)}, ${result.skipped} skipped`)
    for (const test of result.failed) {
      if (target === 'classic-level') baseline.add(test)
      else if (!baseline.has(test)) ours++
      console.log(`  failed${baseline.has(test) ? ' (on classic-level too)' : ''}: ${test}`)
    }
    return cell(result)
  })
  rows.push(`| ${label} | ${results.join(' | ')} |`)
}
const table = [
  `| package | ${on.join(' | ')} |`,
  `|---|${on.map(() => '---:|').join('')}`,
  ...rows
].join('\n')
console.log(`\n${table}`)
if (args.write) writeTable(`${table}\n\nNode.js ${process.versions.node}, ${process.platform}.`)
if (!args.keep) fs.rmSync(work, { recursive: true, force: true })
process.exitCode = ours === 0 ? 0 : 1
