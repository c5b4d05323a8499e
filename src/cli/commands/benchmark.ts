import { mkdtemp, rm } from 'node:fs/promises'
import { arch, cpus, platform, tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Command } from 'commander'
import { addBackendOption, type BackendOption } from '../backend-option.js'
import { measureAll, type Measurement } from '../benchmark-cases.js'
import { formatNumber, table } from '../output.js'
import { wholeNumber } from '../number-options.js'
import { fileError } from '../cli-error.js'
import { addProfileOption, type Host } from '../session.js'
import { profileOf } from '../store-access.js'

interface BenchmarkOptions extends BackendOption {
  readonly quick?: boolean
  readonly keys?: number
  readonly directory: string
}

const defaultKeys = 1_000_000
const quickKeys = 50_000

export function benchmarkCommand(host: Host): Command {
  const command = host.command(
    'benchmark',
    'measure this machine: keys of 16 bytes, values of 100',
    [
      'kintsugi benchmark --quick',
      'kintsugi benchmark --quick --backend lsm',
      'kintsugi benchmark --directory /mnt/fast --keys 5000000 --json'
    ]
  )
  return addProfileOption(addBackendOption(command))
    .option('--quick', `${formatNumber(quickKeys)} keys instead of ${formatNumber(defaultKeys)}`)
    .option('--keys <count>', 'this many keys', wholeNumber('--keys', 1000))
    .option('--directory <path>', 'make the temporary store in here', tmpdir())
    .action(
      host.action<BenchmarkOptions>(async (session, _, options) => {
        const keys = options.keys ?? (options.quick ? quickKeys : defaultKeys)
        const { backend = 'btree' } = options
        const directory = await mkdtemp(join(options.directory, 'kintsugi-benchmark-')).catch(
          (error: unknown) => {
            throw fileError('make a directory in', options.directory, error)
          }
        )
        const progress = session.progress('benchmark')
        let measurements: Measurement[]
        try {
          measurements = await measureAll(
            join(directory, 'store'),
            keys,
            { backend, ...profileOf(session) },
            session.signal,
            (done, total) => progress.update({ done, unit: 'steps', fraction: done / total })
          )
        } finally {
          progress.end()
          await rm(directory, { recursive: true, force: true })
        }
        const machine = {
          node: process.version,
          platform: `${platform()} ${arch()}`,
          cpus: cpus().length,
          cpu: cpus()[0]?.model ?? 'unknown'
        }
        await session.out.result(
          () => ({ backend, keys, keyBytes: 16, valueBytes: 100, machine, measurements }),
          () =>
            `${session.style.strong(`${backend}, ${formatNumber(keys)} keys of 16 bytes, values of 100`)}\n` +
            table(measurements.map(measurementRow)) +
            session.style.faint(
              `Node ${machine.node}, ${machine.platform}, ${machine.cpus} × ${machine.cpu}\n`
            )
        )
        return undefined
      })
    )
}

function measurementRow({ name, perSecond, unit, p99Us }: Measurement): (string | number)[] {
  return [
    name,
    Math.round(perSecond),
    `${unit}/s`,
    p99Us === undefined ? '' : `p99 ${formatNumber(p99Us)} µs`
  ]
}
