// From the rounds' raw figures to medians, spread, ratios, JSON and Markdown.
import { median } from './measure.mjs'

export const SUBJECT = 'kintsugi'

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
  const peers = contenders.filter((name) => name !== SUBJECT && cells[name].median !== undefined)
  const sign = row.better === 'higher' ? 1 : -1
  peers.sort((a, b) => sign * (cells[b].median - cells[a].median))
  const best = peers[0]
  const summary = { id: row.id, title: row.title, unit: row.unit, better: row.better, cells }
  if (row.goal !== undefined) summary.goal = row.goal
  if (row.bound !== undefined) summary.bound = row.bound
  if (best !== undefined) summary.bestPeer = best
  const own = cells[SUBJECT]
  if (own?.median === undefined) return summary
  if (best !== undefined) {
    summary.ratio = advantage(row, own.median, cells[best].median)
    summary.ratioByRound = own.samples
      .map((sample, round) => advantage(row, sample, cells[best].samples[round]))
      .filter((ratio) => Number.isFinite(ratio))
  }
  if (row.goal !== undefined && summary.ratio !== undefined) summary.met = summary.ratio >= row.goal
  if (row.bound !== undefined) {
    summary.met = row.better === 'higher' ? own.median >= row.bound : own.median <= row.bound
  }
  return summary
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

function goalText(row) {
  if (row.goal !== undefined) return `≥ ${row.goal}×`
  if (row.bound === undefined) return ''
  return `${row.better === 'higher' ? '≥' : '≤'} ${figure(row.bound, row.unit)}`
}

export function markdown(report) {
  const { machine, contenders, rows } = report
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
    `| workload | unit | ${contenders.join(' | ')} | best peer | ratio | goal |`,
    `|---|---|${contenders.map(() => '---:').join('|')}|---|---:|---|`
  ]
  for (const row of rows) {
    const cells = contenders.map((name) => cellText(row.cells[name], row))
    const ratio = row.ratio === undefined ? '' : `${row.ratio.toFixed(2)}`
    const met = row.met === undefined ? '' : row.met ? ' ✓' : ' ✗'
    lines.push(
      `| ${row.title} | ${row.unit} | ${cells.join(' | ')} | ${row.bestPeer ?? ''} | ${ratio} | ` +
        `${goalText(row)}${met} |`
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
