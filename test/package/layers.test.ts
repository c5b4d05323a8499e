import { describe, expect, it } from 'vitest'
import { functionSpans, sourceFiles, withoutComments } from '../helpers/source-files.js'
import type { SourceFile } from '../helpers/source-files.js'

/**
 * The import rule: a layer may use itself and the layers above it in this list, never one below,
 * and a backend never a sibling.
 */
const layers: readonly string[] = [
  'errors.ts',
  'options.ts',
  'base/',
  'telemetry/',
  'native-binding.ts',
  'vfs/',
  'codec/',
  'batch/',
  'page/',
  'wal/',
  'backend/',
  'memtable/',
  'merging/',
  'backends/btree/',
  'backends/lsm/',
  'backends/level/',
  'backends/registry.ts',
  'snapshot/',
  'store/',
  'recovery/',
  'observe/',
  'open.ts',
  'transfer/',
  'abstract-level/',
  'index.ts',
  'cli/'
]

const maxFileLines = 500
const maxFunctionLines = 70

const files = sourceFiles('src')
const layerOf = (path: string): number =>
  layers.findIndex((layer) => {
    const inSource = path.slice('src/'.length)
    return layer.endsWith('/') ? inSource.startsWith(layer) : inSource === layer
  })

const isBackend = (layer: number): boolean => /^backends\/\w+\/$/.test(layers[layer] ?? '')

function forEachImport(visit: (from: SourceFile, specifier: string, target?: string) => void) {
  for (const file of files) {
    for (const { specifier, target } of file.imports) visit(file, specifier, target)
  }
}

describe('the source', () => {
  it('belongs to a known layer, file by file', () => {
    expect(files.length).toBeGreaterThan(20)
    expect(files.map(({ path }) => path).filter((path) => layerOf(path) < 0)).toEqual([])
  })

  it('imports only from its own layer and those above it', () => {
    const wrong: string[] = []
    forEachImport((from, _, target) => {
      if (target === undefined) return
      const own = layerOf(from.path)
      const other = layerOf(target)
      const sibling = own !== other && isBackend(own) && isBackend(other)
      if (other < 0 || other > own || sibling) wrong.push(`${from.path} imports ${target}`)
    })
    expect(wrong).toEqual([])
  })

  it('imports without cycles, types included', () => {
    const known = new Map(files.map((file) => [file.path, file]))
    const done = new Set<string>()
    const cycles: string[] = []
    const visit = (path: string, trail: readonly string[]): void => {
      if (trail.includes(path)) {
        cycles.push([...trail.slice(trail.indexOf(path)), path].join(' → '))
        return
      }
      if (done.has(path)) return
      for (const { target } of known.get(path)?.imports ?? []) {
        if (target !== undefined) visit(target, [...trail, path])
      }
      done.add(path)
    }
    for (const { path } of files) visit(path, [])
    expect(cycles).toEqual([])
  })

  it('imports files that exist', () => {
    const known = new Set(files.map(({ path }) => path))
    const missing: string[] = []
    forEachImport((from, _, target) => {
      if (target !== undefined && !known.has(target)) missing.push(`${from.path}: ${target}`)
    })
    expect(missing).toEqual([])
  })

  it('touches files of the machine in vfs/ alone, and users’ files in cli/', () => {
    const allowed = ['src/vfs/', 'src/cli/']
    const wrong: string[] = []
    forEachImport((from, specifier) => {
      if (!/^(node:)?fs(\/|$)/.test(specifier)) return
      if (!allowed.some((folder) => from.path.startsWith(folder))) wrong.push(from.path)
    })
    expect(wrong).toEqual([])
  })

  it('takes time and randomness from its constructors', () => {
    const wrong = files.filter(
      ({ path, text }) =>
        !path.startsWith('src/base/') &&
        !path.startsWith('src/cli/') &&
        /\bMath\.random\(|\brandomBytes\(|\brandomUUID\(/.test(withoutComments(text))
    )
    expect(wrong.map(({ path }) => path)).toEqual([])
  })

  it('reads no environment variables outside the command line', () => {
    const wrong = files.filter(
      ({ path, text }) => !path.startsWith('src/cli/') && text.includes('process.env')
    )
    expect(wrong.map(({ path }) => path)).toEqual([])
  })

  it('has no barrel files inside its layers', () => {
    const barrels = files.filter(({ path, text }) => {
      const lines = withoutComments(text).split('\n')
      const exports = lines.filter((line) => line.startsWith('export '))
      const own = exports.filter((line) => !/ from '|^export \*|^export (type )?\{$/.test(line))
      return path !== 'src/index.ts' && exports.length > 0 && own.length === 0
    })
    expect(barrels.map(({ path }) => path)).toEqual([])
    const named = files.filter(({ path }) => path.endsWith('/index.ts') && path !== 'src/index.ts')
    expect(named.map(({ path }) => path)).toEqual([])
  })

  it('leaves nothing to do later', () => {
    const wrong = files.filter(({ text }) => /\b(TODO|FIXME|XXX|HACK)\b/.test(text))
    expect(wrong.map(({ path }) => path)).toEqual([])
  })

  it(`has no file above ${maxFileLines} lines`, () => {
    const long = files.filter(({ lines }) => lines.length > maxFileLines)
    expect(long.map(({ path, lines }) => `${path}: ${lines.length} lines`)).toEqual([])
  })

  it(`has no function above ${maxFunctionLines} lines`, () => {
    const long = files.flatMap((file) =>
      functionSpans(file)
        .filter(({ lineCount }) => lineCount > maxFunctionLines)
        .map(({ name, line, lineCount }) => `${file.path}:${line} ${name}: ${lineCount} lines`)
    )
    expect(long).toEqual([])
    const all = files.flatMap(functionSpans)
    // The measure sees functions at all.
    expect(all.length).toBeGreaterThan(files.length * 2)
  })
})

describe('the tests', () => {
  it('leave no test focused, and switch nothing by environment variables', () => {
    const tests = sourceFiles('test')
    const wrong = tests.filter(({ path, text }) => {
      if (path === 'test/package/layers.test.ts') return false
      return /\b(it|test|describe)\.only\(/.test(text) || text.includes('process.env.')
    })
    expect(wrong.map(({ path }) => path)).toEqual([])
  })
})
