// Merging tables in one thread, as a compaction job does: runs of level 0 whose keys interleave.
//   node bench/micro/merge.mjs [none|lz4] [runs] [entriesPerRun] [valueBytes]
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { EntryKind } from '../../dist/memtable/entry.js'
import { JobAbort, JobControl } from '../../dist/backends/lsm/jobs/job-control.js'
import { runJob } from '../../dist/backends/lsm/jobs/run-job.js'
import { KeyHash } from '../../dist/memtable/key-hash.js'
import { tableName } from '../../dist/backends/lsm/table-meta.js'
import { TableWriter } from '../../dist/backends/lsm/table/table-writer.js'
import { Checksum } from '../../dist/codec/checksum.js'
import { NodeVfs } from '../../dist/vfs/node-vfs.js'

const compression = process.argv[2] ?? 'lz4'
const runCount = Number(process.argv[3] ?? 4)
const perRun = Number(process.argv[4] ?? 500_000)
const valueBytes = Number(process.argv[5] ?? 100)

const directory = mkdtempSync(join(tmpdir(), 'kintsugi-merge-'))
const vfs = new NodeVfs()
const checksum = await Checksum.create()
const storeId = Buffer.alloc(16, 7)
const blockBytes = 8192

function cpuMs() {
  const { user, system } = process.cpuUsage()
  return (user + system) / 1000
}

/** Half of a value is random digits, so that it compresses to about a half. */
function valueOf(i, target) {
  for (let at = 0; at < valueBytes; at++) {
    target[at] =
      at < valueBytes / 2 ? 33 + ((Math.imul(i + at * 7919, 0x9e3779b1) >>> 16) % 90) : 97
  }
}

async function writeRun(run) {
  const number = run + 1
  const writer = await TableWriter.create(vfs, join(directory, tableName(number)), {
    number,
    level: 0,
    storeId,
    checksum,
    keyHash: new KeyHash(storeId),
    blockBytes,
    compression,
    job: { firstOutput: number, inputs: [] }
  })
  const key = Buffer.alloc(16)
  const value = Buffer.alloc(valueBytes)
  for (let i = 0; i < perRun; i++) {
    // Irregular turns of the runs, and none of their keys twice.
    key.write(String(i * runCount + ((run + (i >> 2) * 3) % runCount)).padStart(16, '0'), 'latin1')
    valueOf(i, value)
    writer.add(key, 0, 16, number * perRun + i, EntryKind.put, value, 0, valueBytes)
    if (writer.isFull) await writer.drain()
  }
  return writer.finish(true)
}

try {
  const metas = []
  for (let run = 0; run < runCount; run++) metas.push(await writeRun(run))
  for (let round = 0; round < 3; round++) {
    const job = {
      kind: 'compaction',
      directory,
      storeId,
      epoch: 1,
      level: 1,
      firstOutput: 100 + round * 1000,
      maxOutputs: 1000,
      maxTableBytes: 16 * 2 ** 20,
      blockBytes,
      compression,
      viewSeqs: [],
      below: [],
      runs: metas.toReversed().map((meta) => [meta]),
      grandparents: [],
      maxGrandparentBytes: 2 ** 40
    }
    const startMs = performance.now()
    const startCpuMs = cpuMs()
    const result = await runJob({ vfs, checksum }, job, new JobControl(new JobAbort()))
    const wallS = (performance.now() - startMs) / 1000
    const cpuS = (cpuMs() - startCpuMs) / 1000
    const rate = (seconds) => `${(result.entriesRead / seconds / 1e6).toFixed(2)} M/s`
    const mebi = (bytes) => `${(bytes / 2 ** 20).toFixed(0)} MiB`
    console.log(
      `${compression}: ${result.entriesRead} entries, ${rate(wallS)} (cpu ${rate(cpuS)}),`,
      `read ${mebi(result.bytesRead)}, wrote ${mebi(result.bytesWritten)}`,
      `in ${result.outputs.length} tables`
    )
  }
} finally {
  rmSync(directory, { recursive: true, force: true })
}
