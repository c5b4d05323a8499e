// From the rounds' raw figures to medians, spread, ratios, JSON and Markdown.
import { median } from './measure.mjs'

/** Our own backends, and where a row has their goals. */
export const SUBJECTS = {
  kintsugi: (row) => row,
  'kintsugi-lsm': (row) => row.lsm ?? {}
}

/** One row: per contender its median, lowest, highest; the best peer; the ratio of the subject. */
export function summarize(row, contenders, results) {
  const cells = {}
  for (const contender of contenders) {
    const outcomes = results[contender]?.[row.cell] ?? []
    const samples = outcomes
      .map((outcome) => outcome.metrics?.[row.metric])
      .filter((sample) => Number.isFinite(sample))
    if (samples.length > 0) {
      cells[contender] = {
        median: median(samples),
        lowest: Math.min(...samples),
        highest: Math.max(...samples),
        samples
      }
    } else {
      const reason = outcomes.find((outcome) => outcome.unsupported || outcome.error)
      cells[contender] = {
        unsupported: reason?.unsupported,
        error: reason?.error
      }
    }
  }
  const peers = contenders.filter((name) => !(name in SUBJECTS) && cells[name].median !== undefined)
  const sign = row.better === 'higher' ? 1 : -1
  peers.sort((a, b) => sign * (cells[b].median - cells[a].median))
  const best = peers[0]
  const { id, title, unit, better } = row
  const summary = { id, title, unit, better, cells, subjects: {} }
  if (best !== undefined) summary.bestPeer = best
  for (const name of contenders.filter((contender) => contender in SUBJECTS)) {
    summary.subjects[name] = judge(row, SUBJECTS[name](row), cells[name], cells[best])
  }
  return summary
}

/** How one of our backends stands against the best peer, and against its own goal. */
function judge(row, { goal, bound }, own, peer) {
  const judged = { goal, bound }
  if (own.median === undefined) return judged
  if (peer !== undefined) {
    judged.ratio = advantage(row, own.median, peer.median)
    judged.ratioByRound = own.samples
      .map((sample, round) => advantage(row, sample, peer.samples[round]))
      .filter((ratio) => Number.isFinite(ratio))
  }
  if (goal !== undefined && judged.ratio !== undefined) judged.met = judged.ratio >= goal
  if (bound !== undefined) {
    judged.met = row.better === 'higher' ? own.median >= bound : own.median <= bound
  }
  return judged
}

/** Above 1 means that the subject is ahead, whichever direction is better. */
function advantage(row, own, other) {
  return row.better === 'higher' ? own / other : other / own
}

export function figure(value, unit) {
  if (value === undefined) return ''
  if (unit === '/s' || unit === 'MB/s') {
    if (value >= 1e6) return `${(value / 1e6).toFixed(2)}M`
    if (value >= 10_000) return `${(value / 1e3).toFixed(0)}k`
    if (value >= 1000) return `${(value / 1e3).toFixed(1)}k`
    return value.toFixed(0)
  }
  return value >= 100 ? value.toFixed(0) : value.toFixed(2)
}

function spread(cell) {
  return Math.round(((cell.highest - cell.lowest) / cell.median) * 100)
}

function cellText(cell, row) {
  if (cell.median === undefined) return cell.error === undefined ? '–' : 'failed'
  const range = cell.samples.length > 1 ? ` ±${Math.round(spread(cell) / 2)} %` : ''
  return `${figure(cell.median, row.unit)}${range}`
}

function goalText(row, { goal, bound, met }) {
  if (goal === undefined && bound === undefined) return ''
  const verdict = met === undefined ? '' : met ? ' ✓' : ' ✗'
  if (goal !== undefined) return `≥ ${goal}×${verdict}`
  return `${row.better === 'higher' ? '≥' : '≤'} ${figure(bound, row.unit)}${verdict}`
}

export function markdown(report) {
  const { machine, contenders, rows } = report
  const subjects = contenders.filter((name) => name in SUBJECTS)
  const lines = [
    `# Comparison, ${report.date}`,
    '',
    `${machine.cpu}, ${machine.cores} cores, ${Math.round(machine.memoryBytes / 2 ** 30)} GiB; ` +
      `${machine.system}, Node ${machine.node}; a plain append + fdatasync: ` +
      `${figure(machine.rawAppendsPerSecond, '/s')}/s. Load average before the run: ` +
      `${machine.loadAverage}.`,
    '',
    `${report.count} keys of 16 bytes, values of 100 bytes; ${report.rounds} round(s), contenders ` +
      'in turn, each cell in its own process. Median, ± half the distance from lowest to highest. ' +
      'Ratio: Kintsugi to the best peer of the row, above 1 is ahead in either direction.',
    '',
    `| workload | unit | ${contenders.join(' | ')} | best peer |` +
      subjects.map((name) => ` ${name}: ratio | goal |`).join(''),
    `|---|---|${contenders.map(() => '---:').join('|')}|---|` +
      subjects.map(() => '---:|---|').join('')
  ]
  for (const row of rows) {
    const cells = contenders.map((name) => cellText(row.cells[name], row))
    const verdicts = subjects.map((name) => {
      const judged = row.subjects[name]
      return ` ${judged.ratio?.toFixed(2) ?? ''} | ${goalText(row, judged)} |`
    })
    lines.push(
      `| ${row.title} | ${row.unit} | ${cells.join(' | ')} | ${row.bestPeer ?? ''} |` +
        verdicts.join('')
    )
  }
  lines.push('', `Versions: ${versionText(report)}.`, '')
  return lines.join('\n')
}

function versionText(report) {
  return Object.entries(report.versions)
    .map(([name, version]) => `${name} ${version}`)
    .join(', ')
}
