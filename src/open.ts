import { resolve } from 'node:path'
import { loadBackend, type BackendName, backendNames } from './backends/registry.js'
import { systemClock, type Clock } from './base/clock.js'
import { systemRandom, type Random } from './base/random.js'
import { KintsugiError } from './errors.js'
import {
  checkOptionNames,
  describe,
  invalidOption,
  optionNames,
  resolveOptions,
  type StoreOptions
} from './options.js'
import { repairStore, type RepairReport } from './recovery/repair.js'
import { destroyStore } from './store/destroy-store.js'
import { openStore, type OpenRequest } from './store/open-store.js'
import type { Store } from './store/store.js'
import { progressOf, type WorkOptions } from './store/work.js'
import { NodeVfs } from './vfs/node-vfs.js'
import type { Vfs } from './vfs/vfs.js'

/** Options of `open`. */
export interface OpenOptions extends StoreOptions {
  /**
   * Where the data lives, fixed when the store is created: `btree`, `lsm`, or `level` for LevelDB
   * through the package `classic-level`. Default: what is there, or `btree`.
   */
  backend?: BackendName
  /** Use the native addon where it is available. Default true. */
  native?: boolean
  /** File system to use instead of the real one, for tests. */
  vfs?: Vfs
  /** Source of time, for tests. */
  clock?: Clock
  /** Source of randomness, for tests. */
  random?: Random
}

type Decoded<Name extends string, O> = O extends { readonly [key in Name]: 'utf8' }
  ? string
  : Buffer

/**
 * Opens the store in a directory, creates it where there is none, and recovers what a crash left.
 *
 * Rejects with a `KintsugiError`; among its codes: `KINTSUGI_LOCKED` when somebody else has it open
 * (`facts.owner` says who), `KINTSUGI_STORE_MISSING`, `KINTSUGI_STORE_EXISTS`,
 * `KINTSUGI_FOREIGN_DIRECTORY`, `KINTSUGI_UNSUPPORTED_VERSION`, `KINTSUGI_BACKEND_MISMATCH`,
 * `KINTSUGI_CORRUPTION`, `KINTSUGI_WAL_CORRUPTION`, and those of the file system.
 */
export async function open<const O extends OpenOptions = Record<never, never>>(
  path: string,
  options?: O
): Promise<Store<Decoded<'keyEncoding', O>, Decoded<'valueEncoding', O>>> {
  const store = await openStore(requestOf(path, options === undefined ? {} : options))
  // The encodings that were asked for decide what comes out, which the type says.
  return store as unknown as Store<Decoded<'keyEncoding', O>, Decoded<'valueEncoding', O>>
}

const worldNames = ['native', 'vfs', 'clock', 'random'] as const
export const openOptionNames = [...optionNames, 'backend', ...worldNames] as const
const repairFlags = ['dryRun', 'rebuildManifest'] as const
const repairOptionNames = [
  ...repairFlags,
  'profile',
  'signal',
  'onProgress',
  ...worldNames
] as const

/** How to repair. */
export interface RepairOptions
  extends Pick<OpenOptions, 'profile' | 'native' | 'vfs' | 'clock' | 'random'>, WorkOptions {
  /** Find out what a repair would save and lose, and change nothing. Default false. */
  readonly dryRun?: boolean
  /** LSM: find out from the tables what the manifest has to say, also where it is whole. */
  readonly rebuildManifest?: boolean
}

/**
 * Repairs a damaged store that nobody has open: rebuilds the data from everything in it that proves
 * itself, replays the log, verifies the result, and moves the damaged data to `quarantine/`. The
 * report names every range of keys and every commit that is lost. Rejects like `open`.
 */
export async function repair(path: string, options: RepairOptions = {}): Promise<RepairReport> {
  checkOptionNames(options, repairOptionNames)
  const { dryRun = false, rebuildManifest = false, signal, onProgress, ...rest } = options
  const request = requestOf(path, { ...rest, createIfMissing: false })
  for (const name of repairFlags) {
    const value: unknown = options[name]
    if (value === undefined || typeof value === 'boolean') continue
    throw invalidOption(name, `${describe(value)} was given, allowed is true or false`)
  }
  return repairStore(request, { dryRun, rebuildManifest }, progressOf({ signal, onProgress }))
}

/** In which world to destroy. */
export interface DestroyOptions extends Pick<OpenOptions, 'native' | 'vfs' | 'clock'> {}

/**
 * Removes the store in a directory, and the directory where nothing else is in it. One that is not
 * there is fine. Rejects with `KINTSUGI_LOCKED` while the store is open, with
 * `KINTSUGI_FOREIGN_DIRECTORY` where it is not a store; then nothing was removed.
 */
export async function destroy(path: string, options: DestroyOptions = {}): Promise<void> {
  checkOptionNames(options, ['native', 'vfs', 'clock'])
  const request = requestOf(path, options)
  await destroyStore(request.vfs, request.path, request.clock)
}

/** Checks path and options, and fills in what the real world has. */
export function requestOf(path: string, given: OpenOptions): OpenRequest {
  if (typeof path !== 'string' || path === '') {
    throw new KintsugiError(
      'KINTSUGI_INVALID_ARGUMENT',
      `the path of a store must be a non-empty string, ${describe(path)} was given`
    )
  }
  checkOptionNames(given, openOptionNames)
  const { backend, native = true, vfs, clock, random, ...scalars } = given
  if (backend !== undefined && !backendNames.includes(backend)) {
    const allowed = backendNames.map((name) => `'${name}'`).join(', ')
    throw invalidOption('backend', `${describe(backend)} was given, allowed is ${allowed}`)
  }
  if (typeof native !== 'boolean') {
    throw invalidOption('native', `${describe(native)} was given, allowed is true or false`)
  }
  return {
    path: vfs === undefined ? resolve(path) : path,
    options: resolveOptions(scalars),
    given: optionNames.filter((name) => scalars[name] !== undefined),
    backend,
    loadBackend,
    vfs: vfs ?? new NodeVfs({ native }),
    clock: clock ?? systemClock,
    random: random ?? systemRandom
  }
}
