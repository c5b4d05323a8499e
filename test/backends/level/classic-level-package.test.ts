import { AbstractLevel } from 'abstract-level'
import * as classicLevel from 'classic-level'
import { describe, expect, it } from 'vitest'
import { KintsugiLevel } from '../../../dist/abstract-level/kintsugi-level.js'
import {
  classicLevelOf,
  loadClassicLevel
} from '../../../dist/backends/level/classic-level-package.js'
import { failure } from '../../helpers/store.js'

class OldClassicLevel {
  get(): void {}
  _get(): void {}
  _getMany(): void {}
}

function refusal(found: { ClassicLevel?: unknown }) {
  return failure(async () => classicLevelOf(found))
}

describe('The package classic-level', () => {
  it('is taken as it is in the version that the backend needs', async () => {
    expect(classicLevelOf(classicLevel)).toBe(classicLevel.ClassicLevel)
    expect(await loadClassicLevel()).toBe(classicLevel.ClassicLevel)
    expect(classicLevel.ClassicLevel.prototype).toBeInstanceOf(AbstractLevel)
  })

  it('is refused in an older version, with what to install', async () => {
    for (const found of [{ ClassicLevel: OldClassicLevel }, { ClassicLevel: 'text' }, {}]) {
      const error = await refusal(found)
      expect(error.code).toBe('KINTSUGI_NOT_SUPPORTED')
      expect(error.message).toContain('npm install classic-level@3')
    }
  })

  it('is not what a program has put in its place, which is a store of ours', async () => {
    class StandIn extends KintsugiLevel {}
    for (const ClassicLevel of [KintsugiLevel, StandIn]) {
      const error = await refusal({ ClassicLevel })
      expect(error.code).toBe('KINTSUGI_NOT_SUPPORTED')
      expect(error.message).toContain('KintsugiLevel stands in its place')
    }
  })
})
