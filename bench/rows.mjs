// The rows of the comparison: which cell measures them, which of its figures counts, and the goal
// as a ratio to the best peer in the same run (or as an absolute bound), of the B+ tree and the LSM.

const rate = { metric: 'perSecond', unit: '/s', better: 'higher' }
const megabytes = { metric: 'megabytesPerSecond', unit: 'MB/s', better: 'higher' }

export const rows = [
  {
    id: 'durable-put-sync',
    title: 'durable put, one writer, sync call',
    goal: 1.3,
    lsm: { goal: 1.3 },
    ...rate
  },
  {
    id: 'durable-put-sync-p99',
    title: '… its p99',
    cell: 'durable-put-sync',
    metric: 'p99Ms',
    unit: 'ms',
    better: 'lower'
  },
  {
    id: 'durable-put-await',
    title: 'durable put, one writer, awaited',
    goal: 1.1,
    lsm: { goal: 1.1 },
    ...rate
  },
  {
    id: 'durable-put-await-p99',
    title: '… its p99',
    cell: 'durable-put-await',
    metric: 'p99Ms',
    unit: 'ms',
    better: 'lower'
  },
  { id: 'durable-put-64', title: 'durable put, 64 writers', goal: 2, lsm: { goal: 2 }, ...rate },
  { id: 'durable-put-64-cold', title: '… the same, the first second after opening', ...rate },
  {
    id: 'put-wave',
    title: 'put without sync, waves of 1000',
    goal: 1.2,
    lsm: { goal: 1.5 },
    ...rate
  },
  {
    id: 'put-await',
    title: 'put without sync, one awaited',
    goal: 1.2,
    lsm: { goal: 1.5 },
    ...rate
  },
  { id: 'put-sync', title: 'put without sync, sync call', goal: 1.2, lsm: { goal: 1.5 }, ...rate },
  {
    id: 'load-seq',
    title: 'bulk load, sequential, batches of 1000',
    goal: 0.8,
    lsm: { goal: 0.8 },
    ...rate
  },
  {
    id: 'load-random',
    title: 'bulk load, random, batches of 1000',
    goal: 0.8,
    lsm: { goal: 1.2 },
    ...rate
  },
  { id: 'churn', title: 'overwrite churn, batches of 1000', goal: 0.5, lsm: { goal: 1 }, ...rate },
  { id: 'get-sync', title: 'get, sync, own copy', goal: 1.5, lsm: { goal: 1 }, ...rate },
  { id: 'get-absent', title: 'get, absent key', goal: 1, lsm: { goal: 1.2 }, ...rate },
  { id: 'get-async-64', title: 'get, async, 64 in flight', goal: 3, lsm: { goal: 3 }, ...rate },
  { id: 'get-async-1', title: 'get, async, one at a time', goal: 10, lsm: { goal: 10 }, ...rate },
  { id: 'getmany-100', title: 'getMany(100), sync, keys', goal: 2, lsm: { goal: 1.2 }, ...rate },
  { id: 'scan-forward', title: 'full scan forward, entries', goal: 3, lsm: { goal: 1.5 }, ...rate },
  { id: 'scan-back', title: 'full scan back, entries', goal: 3, lsm: { goal: 1.5 }, ...rate },
  { id: 'seek-10', title: 'seek + 10', goal: 3, lsm: { goal: 1.5 }, ...rate },
  { id: 'seek-100', title: 'seek + 100', goal: 3, lsm: { goal: 1.5 }, ...rate },
  {
    id: 'ycsb-a',
    title: 'YCSB A (50 % read, 50 % update)',
    goal: 1.5,
    lsm: { goal: 1.2 },
    ...rate
  },
  { id: 'ycsb-b', title: 'YCSB B (95 % read, 5 % update)', goal: 1.5, lsm: { goal: 1 }, ...rate },
  { id: 'ycsb-c', title: 'YCSB C (read)', goal: 1.5, lsm: { goal: 1 }, ...rate },
  { id: 'ycsb-e', title: 'YCSB E (95 % scan, 5 % insert)', goal: 1.5, lsm: { goal: 1 }, ...rate },
  {
    id: 'ycsb-f',
    title: 'YCSB F (read, read-modify-write)',
    goal: 1.5,
    lsm: { goal: 1.2 },
    ...rate
  },
  {
    id: 'disk-load',
    title: 'disk after load and close, × raw data',
    cell: 'load-random',
    metric: 'diskRatio',
    unit: '×',
    better: 'lower',
    bound: 1.5,
    lsm: { bound: 0.52 }
  },
  {
    id: 'disk-churn',
    title: 'disk after churn and close, × raw data',
    cell: 'churn',
    metric: 'diskRatio',
    unit: '×',
    better: 'lower',
    bound: 1.8,
    lsm: { bound: 0.8 }
  },
  {
    id: 'open-clean',
    title: 'open after clean close',
    metric: 'openMs',
    unit: 'ms',
    better: 'lower',
    bound: 5,
    lsm: { bound: 5 }
  },
  { id: 'open-kill', title: 'open after SIGKILL', metric: 'openMs', unit: 'ms', better: 'lower' },
  {
    id: 'replay',
    title: '… records written since, per second',
    cell: 'open-kill',
    bound: 1_000_000,
    lsm: { bound: 1_000_000 },
    ...rate,
    metric: 'recordsPerSecond'
  },
  {
    id: 'loop-p99',
    title: 'event-loop delay under writes, p99',
    cell: 'event-loop',
    metric: 'p99Ms',
    unit: 'ms',
    better: 'lower',
    bound: 1.3,
    lsm: { bound: 1.3 }
  },
  {
    id: 'loop-max',
    title: 'event-loop delay under writes, max',
    cell: 'event-loop',
    metric: 'maxMs',
    unit: 'ms',
    better: 'lower',
    bound: 15,
    lsm: { bound: 15 }
  },
  { id: 'loop-rate', title: '… writes meanwhile', cell: 'event-loop', ...rate },
  { id: 'large-put', title: '100 KiB values: put', goal: 0.5, lsm: { goal: 0.3 }, ...megabytes },
  {
    id: 'large-durable-put',
    title: '100 KiB values: durable put',
    goal: 0.8,
    lsm: { goal: 0.8 },
    ...megabytes
  },
  { id: 'large-get', title: '100 KiB values: get', goal: 0.8, lsm: { goal: 0.8 }, ...megabytes },
  { id: 'get-10k', title: 'get at 10k keys', goal: 1, ...rate },
  { id: 'get-100k', title: 'get at 100k keys', goal: 1, ...rate },
  { id: 'get-1m', title: 'get at 1M keys', cell: 'get-sync', goal: 1, ...rate }
].map((row) => ({ cell: row.id, ...row }))
