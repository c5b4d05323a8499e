import * as fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { SeededRandom } from '../../dist/base/random.js'
import { MemVfs } from '../../dist/vfs/mem-vfs.js'
import { ReferenceFile, ReferenceTree } from './crash-reference.js'

const paths = ['/a', '/b', '/d/a']
const maxPendingNames = 7
const maxDoubtfulChanges = 8

const path = fc.constantFrom(...paths)
const position = fc.oneof(fc.nat(1600), fc.constantFrom(0, 512, 1024))
const sizeBytes = fc.oneof(fc.nat(2200), fc.constantFrom(0, 512, 1024))

const step = fc.oneof(
  fc.record({ kind: fc.constant('create' as const), path }),
  fc.record({ kind: fc.constant('write' as const), path, position, sizeBytes }),
  fc.record({ kind: fc.constant('write' as const), path, position, sizeBytes }),
  fc.record({ kind: fc.constant('truncate' as const), path, sizeBytes }),
  fc.record({ kind: fc.constant('allocate' as const), path, sizeBytes }),
  fc.record({ kind: fc.constant('datasync' as const), path }),
  fc.record({ kind: fc.constant('datasync' as const), path }),
  fc.record({ kind: fc.constant('failedSync' as const), path }),
  fc.record({ kind: fc.constant('rename' as const), path, to: path }),
  fc.record({ kind: fc.constant('unlink' as const), path }),
  fc.record({ kind: fc.constant('syncDirectory' as const), path: fc.constantFrom('/', '/d') }),
  fc.record({ kind: fc.constant('kill' as const) }),
  fc.record({ kind: fc.constant('crash' as const), seed: fc.nat() })
)
type Step = typeof step extends fc.Arbitrary<infer T> ? T : never

/** The same history on the simulator and on the reference. */
class Run {
  vfs = new MemVfs()
  #tree = new ReferenceTree()
  #fill = 0
  states = 0

  constructor() {
    this.vfs.mkdirSync('/d')
    this.vfs.syncDirectorySync('/')
  }

  do(action: Step): void {
    if (action.kind === 'kill') this.vfs = this.vfs.killClone()
    else if (action.kind === 'crash') this.#crash(action.seed)
    else if (action.kind === 'syncDirectory') {
      this.vfs.syncDirectorySync(action.path)
      this.#tree.syncDirectory(action.path)
    } else if (action.kind === 'create') {
      if (this.vfs.statSync(action.path) || this.#tree.pendingCount >= maxPendingNames) return
      this.vfs.openSync(action.path, 'create').closeSync()
      this.#tree.set([action.path, new ReferenceFile(new Uint8Array())])
    } else if (this.vfs.statSync(action.path)) this.#doWithFile(action)
  }

  #doWithFile(
    action: Exclude<Step, { kind: 'kill' | 'crash' | 'syncDirectory' | 'create' }>
  ): void {
    const reference = this.#tree.current().get(action.path)!
    if (action.kind === 'rename' || action.kind === 'unlink') {
      if (this.#tree.pendingCount >= maxPendingNames) return
      if (action.kind === 'unlink') {
        this.vfs.unlinkSync(action.path)
        this.#tree.set([action.path, undefined])
      } else if (action.to !== action.path) {
        this.vfs.renameSync(action.path, action.to)
        this.#tree.set([action.path, undefined], [action.to, reference])
      }
      return
    }
    const file = this.vfs.openSync(action.path, 'readwrite')
    const sizeBefore = file.sizeSync()
    const doubtfulCount = reference.events.filter((e) => e.state !== 'durable').length
    if (action.kind === 'datasync') {
      file.datasyncSync()
      reference.sync('durable')
    } else if (action.kind === 'failedSync') {
      file.loseUnsynced()
      reference.sync('lost')
    } else if (doubtfulCount < maxDoubtfulChanges) {
      if (action.kind === 'write') {
        const bytes = Buffer.alloc(action.sizeBytes, (++this.#fill % 255) + 1)
        file.writeSync(bytes, action.position)
        if (bytes.length > 0) {
          reference.add({ kind: 'write', state: 'pending', position: action.position, bytes })
        }
      } else {
        const kind = action.kind === 'truncate' ? 'truncate' : 'extend'
        if (action.kind === 'truncate') file.truncateSync(action.sizeBytes)
        else file.allocateSync(action.sizeBytes)
        // What changes nothing at the time it is asked for is not a change.
        const changes = action.sizeBytes - sizeBefore
        if (kind === 'truncate' ? changes !== 0 : changes > 0) {
          reference.add({ kind, state: 'pending', sizeBytes: action.sizeBytes })
        }
      }
    }
    file.closeSync()
  }

  /** Goes on from one of the states a crash may leave. */
  #crash(seed: number): void {
    this.vfs = this.vfs.crashClone(new SeededRandom(seed))
    this.#tree = new ReferenceTree()
    for (const name of this.vfs.medium.paths()) {
      this.#tree.set([name, new ReferenceFile(this.vfs.medium.read(name))])
    }
    for (const directory of ['/', '/d']) this.#tree.syncDirectory(directory)
  }

  check(): void {
    const current = this.#tree.current()
    expect(this.vfs.medium.paths()).toEqual([...current.keys()].sort())
    for (const [name, file] of current) {
      expect(this.vfs.medium.read(name).equals(file.current())).toBe(true)
    }
    this.#checkClone(this.vfs.crashClone('nothing'))
    this.#checkClone(this.vfs.crashClone('everything'))
    for (let seed = 0; seed < 8; seed++) {
      this.#checkClone(this.vfs.crashClone(new SeededRandom(seed + this.states)))
    }
  }

  #checkClone(clone: MemVfs): void {
    this.states++
    const files = new Map(clone.medium.paths().map((name) => [name, clone.medium.read(name)]))
    expect(this.#tree.explains(files)).toBe(true)
    // All of it is durable now.
    const again = clone.crashClone('nothing')
    for (const [name, content] of files) expect(again.medium.read(name).equals(content)).toBe(true)
  }
}

describe('any history', () => {
  it('leaves only what can be explained after a power cut at its end', () => {
    let states = 0
    fc.assert(
      fc.property(fc.array(step, { maxLength: 40, size: 'max' }), (steps) => {
        const run = new Run()
        for (const action of steps) run.do(action)
        run.check()
        states += run.states
      }),
      { numRuns: 1500 }
    )
    expect(states).toBe(15_000)
  })
})
