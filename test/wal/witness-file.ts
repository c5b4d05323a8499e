import type { Vfs } from '../../dist/vfs/vfs.js'
import type { LogWitness } from '../../dist/wal/witness.js'
import { freshWitness } from './log-fixture.js'

/**
 * Stands in for the STORE slots: every change is a new small file, so that a crash leaves the last
 * complete one.
 */
export class WitnessFile {
  readonly #vfs: Vfs
  #generation: number
  value: LogWitness

  constructor(vfs: Vfs) {
    this.#vfs = vfs
    this.#generation = 0
    this.value = freshWitness
    for (const name of vfs.readdirSync('/').filter((entry) => entry.startsWith('store-'))) {
      const generation = Number(name.slice(6))
      const value = this.#read(`/${name}`)
      if (value === undefined || generation <= this.#generation) continue
      this.#generation = generation
      this.value = value
    }
  }

  #read(path: string): LogWitness | undefined {
    const file = this.#vfs.openSync(path, 'read')
    const bytes = Buffer.alloc(file.sizeSync())
    file.readSync(bytes, 0)
    file.closeSync()
    const text = bytes.toString('latin1')
    if (!text.endsWith('\n')) return undefined
    try {
      return JSON.parse(text) as LogWitness
    } catch {
      return undefined
    }
  }

  write(change: Partial<LogWitness>): void {
    this.value = { ...this.value, ...change }
    this.#generation++
    // A name that an earlier, interrupted opening used is skipped.
    while (this.#vfs.statSync(this.#path)) this.#generation++
    const file = this.#vfs.openSync(this.#path, 'create')
    file.writeSync(Buffer.from(`${JSON.stringify(this.value)}\n`, 'latin1'), 0)
    file.datasyncSync()
    file.closeSync()
    this.#vfs.syncDirectorySync('/')
  }

  get #path(): string {
    return `/store-${String(this.#generation).padStart(6, '0')}`
  }
}
