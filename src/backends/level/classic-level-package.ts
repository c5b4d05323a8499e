import type { ClassicLevel } from 'classic-level'
import { standInMark } from '../../base/stand-in.js'
import { KintsugiError } from '../../errors.js'

/** The class of the package `classic-level`, which is loaded here and nowhere else. */
export async function loadClassicLevel(): Promise<typeof ClassicLevel> {
  let loaded
  try {
    loaded = await import('classic-level')
  } catch (error) {
    throw notUsable(
      'which is not installed or does not load here; install it with `npm install classic-level@3`',
      error
    )
  }
  return classicLevelOf(loaded)
}

/**
 * What answers to the name may be another version, whose methods are missing, or what a program has
 * put in its place by `overrides` of npm: a store of ours, which must not hold the files of LevelDB.
 */
export function classicLevelOf(loaded: { ClassicLevel?: unknown }): typeof ClassicLevel {
  const found = loaded.ClassicLevel
  if (typeof found === 'function' && standInMark in found) {
    throw notUsable(
      'and here KintsugiLevel stands in its place, by `overrides` of npm perhaps; do this where ' +
        'kintsugi-db and classic-level@3 itself are installed'
    )
  }
  const methods = typeof found === 'function' ? (found.prototype as object) : {}
  if (!needed.every((name) => name in methods)) {
    throw notUsable(
      'of which another version is installed; install version 3 with `npm install classic-level@3`'
    )
  }
  return found as typeof ClassicLevel
}

/** What the backend calls and older versions do not have. */
const needed = ['_getSync', '_get', '_getMany', '_iterator', 'detachResource', 'snapshot'] as const

function notUsable(why: string, cause?: unknown): KintsugiError {
  const message = `LevelDB is reached through the package classic-level, ${why}`
  return new KintsugiError('KINTSUGI_NOT_SUPPORTED', message, {}, cause)
}
