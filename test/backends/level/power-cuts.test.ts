import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import fs from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { cutPower } from '../../recorded/power-cuts.js'
import { buildRecorder } from '../../recorded/recording.js'

/**
 * LevelDB opens its files itself, so the power is not cut on a file system in memory but on what a
 * real process was recorded to do to real files, LevelDB's own threads included.
 */
describe.runIf(process.platform === 'linux')('power cuts of a recorded process', () => {
  let directory: string
  let recorder: string | undefined

  beforeAll(() => {
    directory = fs.mkdtempSync(join(tmpdir(), 'kintsugi-power-'))
    recorder = buildRecorder(directory)
  })
  afterAll(() => fs.rmSync(directory, { recursive: true, force: true }))

  it('lose nothing that was acknowledged as synced, at any moment of writes and openings', async ({
    skip
  }) => {
    if (recorder === undefined) return skip('the recorder needs a C compiler')
    let states = 0
    for (const seed of [1]) {
      const figures = await cutPower({
        backend: 'level',
        seed,
        rounds: 4,
        commitsPerRound: 120,
        cutsPerRound: 25,
        randomFates: 3,
        recorder,
        directory
      })
      console.log(`power cuts on level, seed ${seed}: ${JSON.stringify(figures)}`)
      states += figures.states
      expect(figures.commits).toBeGreaterThan(60)
    }
    expect(states).toBeGreaterThan(400)
  })
})
