// Runs cells in child processes, each in a fresh directory.
import { fork } from 'node:child_process'
import { existsSync, mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { cells } from '../cells/all.mjs'
import { copyStore, flushMachine, remove } from './files.mjs'

const script = fileURLToPath(new URL('../run-cell.mjs', import.meta.url))

export class Runner {
  #workDir
  #count
  #timeoutMs
  #fixtures = new Map()

  constructor({ workDir, count, timeoutMs }) {
    this.#workDir = workDir
    this.#count = count
    this.#timeoutMs = timeoutMs
    mkdirSync(workDir, { recursive: true })
  }

  async run(contender, cellName, execArgv = []) {
    const cell = cells[cellName]
    const cellDir = join(this.#workDir, 'cell')
    remove(cellDir)
    let dir = cellDir
    if (cell.fixture !== undefined) {
      const fixture = await this.#fixture(contender)
      if (fixture.error !== undefined) return fixture
      if (cell.fixture === 'copy') copyStore(fixture.dir, cellDir)
      else dir = fixture.dir
    }
    flushMachine()
    if (cell.before !== undefined) {
      const died = await this.#child(contender, cellName, 'before', dir)
      if (died.unsupported !== undefined || died.error !== undefined) return died
    }
    const result = await this.#child(contender, cellName, 'run', dir, execArgv)
    remove(cellDir)
    return result
  }

  async #fixture(contender) {
    const known = this.#fixtures.get(contender)
    if (known !== undefined) return known
    const dir = join(this.#workDir, 'fixtures', contender)
    mkdirSync(join(this.#workDir, 'fixtures'), { recursive: true })
    const made = await this.#child(contender, 'fixture', 'run', dir)
    const fixture = made.error === undefined && existsSync(dir) ? { dir } : { error: made.error }
    this.#fixtures.set(contender, fixture)
    return fixture
  }

  #child(contender, cellName, phase, dir, execArgv = []) {
    return new Promise((resolve) => {
      const child = fork(script, [contender, cellName, phase, dir, String(this.#count)], {
        execArgv,
        stdio: ['ignore', 'ignore', 'pipe', 'ipc']
      })
      let result
      let stderr = ''
      child.stderr.setEncoding('utf8').on('data', (text) => {
        stderr = (stderr + text).slice(-4000)
      })
      const timer = setTimeout(() => {
        result = { error: `no result within ${this.#timeoutMs / 1000} s` }
        child.kill('SIGKILL')
      }, this.#timeoutMs)
      child.on('message', (message) => {
        result = message
      })
      child.on('error', (error) => {
        result = { error: String(error) }
      })
      child.on('close', (code, signal) => {
        clearTimeout(timer)
        if (result === undefined && phase === 'before' && signal === 'SIGKILL') result = {}
        resolve(result ?? { error: `process ended early (${signal ?? code})\n${stderr}` })
      })
    })
  }

  close() {
    remove(this.#workDir)
  }
}
