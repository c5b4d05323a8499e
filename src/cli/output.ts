import type { Writable } from 'node:stream'
import { CliError } from './cli-error.js'
import { KintsugiError } from '../errors.js'
import { formatKey } from '../base/bytes.js'

/** Colours are for terminals; the names say what is meant, not the colour. */
export interface Style {
  strong(text: string): string
  faint(text: string): string
  good(text: string): string
  bad(text: string): string
  warn(text: string): string
}

const plain: Style = {
  strong: (text) => text,
  faint: (text) => text,
  good: (text) => text,
  bad: (text) => text,
  warn: (text) => text
}

function sgr(code: number): (text: string) => string {
  return (text) => `\u001b[${code}m${text}\u001b[0m`
}

const coloured: Style = {
  strong: sgr(1),
  faint: sgr(2),
  good: sgr(32),
  bad: sgr(31),
  warn: sgr(33)
}

export function styleFor(stream: Writable, noColor: boolean): Style {
  return (stream as { isTTY?: boolean }).isTTY === true && !noColor ? coloured : plain
}

/** What a command says: one JSON document, or text for people. */
export class Output {
  constructor(
    readonly stdout: Writable,
    readonly json: boolean,
    readonly style: Style
  ) {}

  get isTerminal(): boolean {
    return (this.stdout as { isTTY?: boolean }).isTTY === true
  }

  /** Characters on a line of the terminal; without one, lines are never cut. */
  get columns(): number {
    return this.isTerminal ? ((this.stdout as { columns?: number }).columns ?? 80) : Infinity
  }

  /** The result of a command in both forms; only the one asked for is made. */
  async result(asJson: () => unknown, asText: () => string): Promise<void> {
    await this.write(this.json ? `${JSON.stringify(asJson())}\n` : ensureNewline(asText()))
  }

  /** Waits while the reader is slower, so that long output needs no memory. */
  async write(data: string | Uint8Array): Promise<void> {
    if (data.length === 0 || this.stdout.write(data)) return
    // A stream that has failed already will tell nobody again.
    if (this.stdout.destroyed) throw this.stdout.errored ?? new Error('the output is closed')
    await new Promise<void>((resolve, reject) => {
      const settle = (error?: Error): void => {
        this.stdout.off('drain', settle)
        this.stdout.off('error', settle)
        this.stdout.off('close', settle)
        if (error) reject(error)
        else resolve()
      }
      this.stdout.on('drain', settle)
      this.stdout.on('error', settle)
      this.stdout.on('close', settle)
    })
  }
}

function ensureNewline(text: string): string {
  return text === '' || text.endsWith('\n') ? text : `${text}\n`
}

/** Rows of cells as aligned columns; numbers to the right. */
export function table(rows: readonly (readonly (string | number)[])[], indent = '  '): string {
  const cells = rows.map((row) =>
    row.map((cell) => (typeof cell === 'number' ? formatNumber(cell) : cell))
  )
  const widths: number[] = []
  for (const row of cells) {
    row.forEach((cell, i) => (widths[i] = Math.max(widths[i] ?? 0, cell.length)))
  }
  return rows
    .map((row, r) => {
      const line = row.map((cell, c) =>
        typeof cell === 'number' ? cells[r][c].padStart(widths[c]) : cells[r][c].padEnd(widths[c])
      )
      return `${indent}${line.join('  ').trimEnd()}\n`
    })
    .join('')
}

export function formatNumber(value: number): string {
  return value.toLocaleString('en-US', { maximumFractionDigits: value < 10 ? 2 : 1 })
}

export function formatBytes(bytes: number): string {
  const units = ['bytes', 'KiB', 'MiB', 'GiB', 'TiB']
  let value = bytes
  let unit = 0
  while (value >= 1024 && unit < units.length - 1) {
    value /= 1024
    unit++
  }
  return `${unit === 0 ? value : value.toFixed(1)} ${units[unit]}`
}

export function formatDuration(ms: number): string {
  if (ms < 1000) return `${Math.round(ms)} ms`
  if (ms < 60_000) return `${(ms / 1000).toFixed(1)} s`
  const seconds = Math.round(ms / 1000)
  const rest = String(seconds % 60).padStart(2, '0')
  if (seconds < 3600) return `${Math.floor(seconds / 60)}:${rest} min`
  return `${Math.floor(seconds / 3600)}:${String(Math.floor(seconds / 60) % 60).padStart(2, '0')} h`
}

export function plural(count: number, one: string, many = `${one}s`): string {
  return `${formatNumber(count)} ${count === 1 ? one : many}`
}

/** An error as people read it: what happened in words for them, the facts, and what to do next. */
export function errorText(
  error: unknown,
  message: string,
  next: string | undefined,
  style: Style
): string {
  const lines = [`${style.bad('error:')} ${message}`]
  if (error instanceof KintsugiError) {
    lines.push(...factLines(error).map((line) => style.faint(`  ${line}`)))
    if (next !== undefined) lines.push(`  ${next}`)
  } else if (!(error instanceof CliError) && error instanceof Error && error.stack) {
    // Nobody foresaw this one, so the place where it happened is the best there is.
    lines.push(style.faint(error.stack.split('\n').slice(1).join('\n')))
  }
  return `${lines.join('\n')}\n`
}

function factLines(error: KintsugiError): string[] {
  const { path, offset, page, segment, firstSeq, lastSeq, lowKey, highKey } = error.facts
  const place = [
    path && !error.message.includes(path) && `file ${path}`,
    segment !== undefined && `segment ${segment}`,
    page !== undefined && `page ${page}`,
    offset !== undefined && `offset ${offset}`
  ].filter(Boolean)
  const lines = [error.code, ...(place.length > 0 ? [place.join(', ')] : [])]
  if (firstSeq !== undefined) lines.push(`sequence numbers ${firstSeq} to ${lastSeq ?? 'the end'}`)
  if (lowKey || highKey) {
    lines.push(
      `keys from ${lowKey ? formatKey(lowKey) : 'the first'} ` +
        `to ${highKey ? `below ${formatKey(highKey)}` : 'the last'}`
    )
  }
  return lines
}

export function errorJson(error: unknown, message: string): Record<string, unknown> {
  if (error instanceof KintsugiError || error instanceof CliError) {
    return { ...error.toJSON(), message }
  }
  const { code } = error as NodeJS.ErrnoException
  return { code: code ?? 'CLI_UNEXPECTED', message }
}
