import { execFileSync, spawnSync } from 'node:child_process'
import fs from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { projectRoot } from '../helpers/source-files.js'

const manifest = JSON.parse(fs.readFileSync(join(projectRoot, 'package.json'), 'utf8'))

/** A project of somebody else that has installed the packed package. */
let consumer: string
let packed: string[]

beforeAll(() => {
  consumer = fs.mkdtempSync(join(tmpdir(), 'kintsugi-consumer-'))
  const answer = execFileSync(
    'npm',
    ['pack', '--json', '--ignore-scripts', '--silent'].concat(['--pack-destination', consumer]),
    { cwd: projectRoot, encoding: 'utf8' }
  )
  const [pack] = JSON.parse(answer.slice(answer.indexOf('['))) as [
    { filename: string; files: { path: string }[] }
  ]
  packed = pack.files.map(({ path }) => path)
  const modules = join(consumer, 'node_modules')
  fs.mkdirSync(modules)
  execFileSync('tar', ['-xzf', join(consumer, pack.filename), '-C', modules])
  fs.renameSync(join(modules, 'package'), join(modules, 'kintsugi-db'))
  for (const name of Object.keys(manifest.dependencies)) link(modules, name)
  link(modules, '@types/node')
  link(modules, 'undici-types')
  // What a dependency needs itself lies beside it in the project's own folder.
  for (const scope of ['@antoniomuso', '@napi-rs']) link(modules, scope)
  fs.writeFileSync(join(consumer, 'package.json'), '{"private": true}')
}, 120_000)

afterAll(() => fs.rmSync(consumer, { recursive: true, force: true }))

function link(modules: string, name: string): void {
  const target = join(projectRoot, 'node_modules', name)
  if (!fs.existsSync(target)) return
  fs.mkdirSync(join(modules, name, '..'), { recursive: true })
  fs.symlinkSync(target, join(modules, name))
}

function run(file: string, text: string): string {
  fs.writeFileSync(join(consumer, file), text)
  const { stdout, stderr, status } = spawnSync(process.execPath, [file], {
    cwd: consumer,
    encoding: 'utf8'
  })
  expect(status, stderr).toBe(0)
  return stdout.trim()
}

const use = (path: string) => `
  const run = async () => {
    const db = await open('${path}')
    await db.put('k', 'v')
    console.log(db.getSync('k').toString())
    await db.close()
  }
  run()
`

describe('the package', () => {
  it('is imported by name from an ECMAScript module', () => {
    expect(run('a.mjs', `import { open } from 'kintsugi-db'\n${use('./esm')}`)).toBe('v')
  })

  it('is required by name from CommonJS', () => {
    expect(run('b.cjs', `const { open } = require('kintsugi-db')\n${use('./cjs')}`)).toBe('v')
  })

  it('exports errors that can be told by their class and code', () => {
    const text = `
      import { open, KintsugiError } from 'kintsugi-db'
      const error = await open('./x', { craeteIfMissing: true }).catch((error) => error)
      console.log(error instanceof KintsugiError, error.code)
    `
    expect(run('c.mjs', text)).toBe('true KINTSUGI_INVALID_OPTION')
  })

  it('says its types to a strict compiler', () => {
    fs.writeFileSync(
      join(consumer, 'types.mts'),
      `import { open, KintsugiError, type Store } from 'kintsugi-db'
       import { KintsugiLevel } from 'kintsugi-db/level'
       const db = await open('./typed')
       const value: Buffer | undefined = await db.get('k')
       const text = await open('./text', { valueEncoding: 'utf8', keyEncoding: 'utf8' })
       const entry: string | undefined = text.getSync('k')
       for (const [key, found] of text.entries({ gte: 'a' })) { const both: string = key + found }
       const same: Store<Buffer, Buffer> = db
       // @ts-expect-error an option that does not exist
       await open('./x', { cacheSize: 1 })
       // @ts-expect-error a number is no key
       await db.put(1, 'v')
       const level = new KintsugiLevel<string, { n: number }>('./l', { valueEncoding: 'json' })
       const found: { n: number } | undefined = await level.get('k', { fillCache: true })
       for await (const [key, { n }] of level.iterator({ gte: 'a' })) { const sum: string = key + n }
       // @ts-expect-error a number is no key
       await level.put(1, { n: 1 })
       export { value, entry, same, found, KintsugiError }
      `
    )
    const options = ['--strict', '--noEmit', '--module', 'nodenext', '--target', 'es2022']
    const more = ['--types', 'node', '--lib', 'es2023,esnext.disposable', 'types.mts']
    const compiler = join(projectRoot, 'node_modules', '.bin', 'tsc')
    const { stdout, status } = spawnSync(process.execPath, [compiler, ...options, ...more], {
      cwd: consumer,
      encoding: 'utf8'
    })
    expect(stdout).toBe('')
    expect(status).toBe(0)
  }, 60_000)

  it('runs no scripts when it is installed', () => {
    const scripts = Object.keys(manifest.scripts)
    for (const name of ['preinstall', 'install', 'postinstall', 'prepare', 'prepublish']) {
      expect(scripts).not.toContain(name)
    }
    // npm would compile a binding.gyp by itself.
    expect(manifest.gypfile).toBe(false)
    expect(packed).not.toContain('binding.gyp')
  })

  it('holds what is needed and nothing else', () => {
    const wanted =
      /^(?:(?:dist|prebuilds|docs|examples)\/|src\/.*\/format\.md$|(?:package\.json|README\.md|LICENSE)$)/
    expect(packed.filter((path) => !wanted.test(path))).toEqual([])
    const readme = fs.readFileSync(join(projectRoot, 'README.md'), 'utf8')
    const links = [...readme.matchAll(/\]\(((?:docs|src|examples)\/[^)#]+)/g)].map(
      ([, path]) => path
    )
    expect(links.length).toBeGreaterThan(5)
    expect(packed).toEqual(expect.arrayContaining(links))
    expect(packed).toContain('dist/index.js')
    expect(packed).toContain('dist/index.d.ts')
    expect(packed).toContain('dist/cli/main.js')
    // Reached by its URL only, so nothing that imports it would miss it.
    expect(packed).toContain('dist/backends/lsm/jobs/worker.js')
  })

  it('ships code to be read as it is, with its comments, instead of maps to sources it lacks', () => {
    expect(packed.filter((path) => path.endsWith('.map'))).toEqual([])
    const root = join(consumer, 'node_modules', 'kintsugi-db')
    for (const path of packed.filter((name) => /\.(?:js|d\.ts)$/.test(name))) {
      expect(fs.readFileSync(join(root, path), 'utf8'), path).not.toContain('sourceMappingURL')
    }
    const code = fs.readFileSync(join(root, 'dist', 'open.js'), 'utf8')
    expect(code).toMatch(/\/\*\*\n \* [\s\S]*export async function repair\(/)
  })

  it('waits for nothing at the top level, so that CommonJS can require it', () => {
    for (const path of packed.filter((name) => name.endsWith('.js') && !name.includes('/cli/'))) {
      const text = fs.readFileSync(join(consumer, 'node_modules', 'kintsugi-db', path), 'utf8')
      expect(/^(?:const .* = )?await /m.test(text), path).toBe(false)
    }
  })
})
