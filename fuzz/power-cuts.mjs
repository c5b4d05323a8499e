// Power cuts on what a recorded process, and LevelDB in it, did to its files:
// node fuzz/power-cuts.mjs [--backend level] [--seed 1] [--runs 20 | --minutes 10]
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { campaign, load } from './campaign.mjs'

const { cutPower } = await load('recorded/power-cuts.js')
const { buildRecorder } = await load('recorded/recording.js')

const directory = mkdtempSync(join(tmpdir(), 'kintsugi-power-'))
const recorder = buildRecorder(directory)
if (recorder === undefined) throw new Error('the recorder needs Linux and a C compiler')
const only = process.env.ONLY

await campaign('power-cuts', { runs: 20 }, (seed, backend) =>
  cutPower({
    backend,
    seed,
    rounds: 4,
    commitsPerRound: 250,
    cutsPerRound: 40,
    randomFates: 4,
    recorder,
    directory,
    only
  })
)
rmSync(directory, { recursive: true })
