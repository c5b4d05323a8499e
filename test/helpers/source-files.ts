import { readdirSync, readFileSync, statSync } from 'node:fs'
import { dirname, join, relative, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'

/** The project's own source, read as text, for tests of rules that concern its shape. */

export const projectRoot = fileURLToPath(new URL('../../', import.meta.url))

export interface SourceImport {
  /** As written. */
  readonly specifier: string
  /** Path below the project's root, ending in `.ts`, of a relative import. */
  readonly target: string | undefined
  readonly typeOnly: boolean
}

export interface SourceFile {
  /** Path below the project's root. */
  readonly path: string
  readonly text: string
  readonly lines: readonly string[]
  readonly imports: readonly SourceImport[]
}

/** Every TypeScript file below a folder, sorted by path. */
export function sourceFiles(folder: string): SourceFile[] {
  const found: string[] = []
  const visit = (directory: string): void => {
    for (const name of readdirSync(directory).sort()) {
      const path = join(directory, name)
      if (statSync(path).isDirectory()) visit(path)
      else if (name.endsWith('.ts')) found.push(path)
    }
  }
  visit(join(projectRoot, folder))
  return found.map(readSource)
}

function readSource(path: string): SourceFile {
  const text = readFileSync(path, 'utf8')
  return {
    path: relative(projectRoot, path),
    text,
    lines: text.split('\n'),
    imports: importsOf(path, text)
  }
}

function importsOf(path: string, text: string): SourceImport[] {
  const code = withoutComments(text)
  const imports: SourceImport[] = []
  const add = (specifier: string, typeOnly: boolean): void => {
    const target = specifier.startsWith('.')
      ? relative(projectRoot, resolve(dirname(path), specifier)).replace(/\.js$/, '.ts')
      : undefined
    imports.push({ specifier, target, typeOnly })
  }
  const statement = /^(?:import|export)\s+(type\s+)?(?:[^'"`;=()]*?\sfrom\s+)?'([^']+)'/gm
  for (const [, type, specifier] of code.matchAll(statement)) add(specifier, type !== undefined)
  for (const [, specifier] of code.matchAll(/\bimport\(\s*'([^']+)'/g)) add(specifier, false)
  for (const [, specifier] of code.matchAll(/\brequire\(\s*'([^']+)'/g)) add(specifier, false)
  return imports
}

/** Comments replaced by nothing; good enough for code that the formatter has laid out. */
export function withoutComments(text: string): string {
  return text.replace(/\/\*[\s\S]*?\*\//g, '').replace(/(^|\s)\/\/.*$/gm, '$1')
}

export interface FunctionSpan {
  readonly name: string
  readonly line: number
  readonly lineCount: number
}

/** Whether a signature ends without opening anything, as those of overloads and interfaces do. */
function isBodiless(lines: readonly string[], start: number, indent: number): boolean {
  const spread = lines[start]!.endsWith('(')
  const end = spread
    ? lines.findIndex((text, at) => at > start && text.startsWith(`${' '.repeat(indent)})`))
    : start
  const next = lines[end + 1] ?? ''
  return !lines[end]!.endsWith('{') && next.length - next.trimStart().length <= indent
}

/** Functions at the top of a file and methods of its classes, as the formatter lays them out. */
export function functionSpans(file: SourceFile): FunctionSpan[] {
  const start =
    /^(?:(?:export )?(?:default )?(?:async )?function\*? (\w+)|(?:export )?const (\w+) = .*=> \{$| {2}(?:(?:public|private|protected|static|override|async|readonly|get|set) )*\*?(#?\w+|\[[\w.]+\])(?:<.*)?(?:\(| = .*=> \{$))/
  const spans: FunctionSpan[] = []
  for (let i = 0; i < file.lines.length; i++) {
    const line = file.lines[i]!
    const match = start.exec(line)
    const name = match?.[1] ?? match?.[2] ?? match?.[3]
    if (name === undefined || ['if', 'for', 'while', 'switch', 'return'].includes(name)) continue
    const indent = line.length - line.trimStart().length
    const closing = `${' '.repeat(indent)}}`
    if (isBodiless(file.lines, i, indent)) continue
    const blank = file.lines.findIndex((text, at) => at > i && text === '' && indent === 0)
    const end = file.lines.findIndex((text, at) => at >= i && text.startsWith(closing))
    if (end < 0) continue
    // A signature without a body ends in front of the next blank line.
    if (!file.lines.slice(i, end + 1).some((text) => text.endsWith('{'))) continue
    if (blank >= 0 && blank < end && !file.lines.slice(i, blank).some((t) => t.endsWith('{'))) {
      continue
    }
    spans.push({ name, line: i + 1, lineCount: end - i + 1 })
  }
  return spans
}
