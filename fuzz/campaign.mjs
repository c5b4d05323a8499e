import { spawnSync } from 'node:child_process'
import { existsSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { backendNames } from '../dist/backends/registry.js'

/** What all campaigns share: their arguments, the compiled test helpers, the loop over seeds. */

const root = fileURLToPath(new URL('..', import.meta.url))

/** Compiles what the tests share with the campaigns; the engine itself has to be built already. */
export async function load(path) {
  if (!existsSync(`${root}dist/index.js`)) throw new Error('build first: npm run build')
  const compiler = `${root}node_modules/.bin/tsc`
  const { status } = spawnSync(process.execPath, [compiler, '-p', `${root}tsconfig.fuzz.json`], {
    stdio: 'inherit'
  })
  if (status !== 0) throw new Error('the test helpers do not compile')
  return import(`${root}.fuzz/${path}`)
}

/**
 * Runs `once(seed, backend)` for `--runs` seeds from `--seed` on, or for `--minutes`, on the
 * `--backend`; prints figures now and then and at the end. A failure prints its seed and ends the
 * process with 1.
 */
export async function campaign(name, defaults, once) {
  const { values } = parseArgs({
    options: {
      seed: { type: 'string', default: `${Date.now() % 1_000_000}` },
      runs: { type: 'string', default: `${defaults.runs}` },
      minutes: { type: 'string' },
      backend: { type: 'string', default: 'btree' }
    }
  })
  const { backend } = values
  if (!backendNames.includes(backend)) throw new Error(`backends are ${backendNames.join(', ')}`)
  const first = Number(values.seed)
  const endMs = values.minutes ? performance.now() + Number(values.minutes) * 60_000 : Infinity
  const runs = values.minutes ? Infinity : Number(values.runs)
  const total = {}
  let done = 0
  let saidMs = performance.now()
  for (; done < runs && performance.now() < endMs; done++) {
    const seed = first + done
    try {
      const figures = await once(seed, backend)
      for (const [key, value] of Object.entries(figures)) total[key] = (total[key] ?? 0) + value
    } catch (error) {
      const again = `--backend ${backend} --seed ${seed} --runs 1`
      console.error(`${name} failed: node fuzz/${name}.mjs ${again}`)
      console.error(error)
      process.exit(1)
    }
    if (performance.now() - saidMs > 20_000) {
      saidMs = performance.now()
      console.log(
        `${name} on ${backend}: ${done + 1} runs from seed ${first}, ${JSON.stringify(total)}`
      )
    }
  }
  console.log(
    `${name} on ${backend}: ${done} runs from seed ${first}, clean, ${JSON.stringify(total)}`
  )
  process.exit(0)
}
