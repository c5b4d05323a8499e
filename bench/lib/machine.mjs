import { cpus, loadavg, release, totalmem, type } from 'node:os'
import { statfsSync } from 'node:fs'
import { rawAppendsPerSecond } from './files.mjs'

/** What a reader must know to place the figures. */
export function machineFacts(dir) {
  const processors = cpus()
  return {
    cpu: processors[0]?.model ?? 'unknown',
    cores: processors.length,
    memoryBytes: totalmem(),
    system: `${type()} ${release()}`,
    node: process.version,
    fileSystemType: `0x${statfsSync(dir).type.toString(16)}`,
    loadAverage: Math.round(loadavg()[0] * 100) / 100,
    rawAppendsPerSecond: Math.round(rawAppendsPerSecond(dir))
  }
}
