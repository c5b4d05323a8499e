// All ways to read beside the states that commits lead to, with any bytes for keys and bounds:
// node fuzz/reads.mjs [--backend lsm] [--seed 1] [--runs 500 | --minutes 10]
import { campaign, load } from './campaign.mjs'

const { runReadHistory } = await load('reads/read-history.js')

await campaign('reads', { runs: 500 }, (seed, backend) => runReadHistory(backend, seed))
