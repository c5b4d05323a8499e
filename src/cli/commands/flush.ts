import type { Command } from 'commander'
import { formatDuration, formatNumber, plural } from '../output.js'
import type { Host, Session } from '../session.js'
import { withStore } from '../store-access.js'

export function flushCommand(host: Host): Command {
  return host
    .command('flush STORE', 'bring everything from the log into the data files', [
      'kintsugi flush ./cities',
      'kintsugi flush ./events --profile low-memory --json'
    ])
    .addHelpText(
      'after',
      `
Afterwards the data files have every commit, are synced, and the next opening replays nothing.`
    )
    .action(
      host.action(async (session, [path]) => {
        const progress = session.progress('flush')
        const flushed = await withStore(
          session,
          path,
          { createIfMissing: false },
          async (store) => {
            await store.persist()
            const { durableSeq } = store.stats()
            return { seq: store.seq, durableSeq, replayedCommits: store.recovery.replayedCommits }
          }
        )
        const { seq, durableSeq, replayedCommits } = flushed
        const elapsedMs = Math.round(progress.elapsedMs)
        await session.out.result(
          () => ({ store: path, ...flushed, elapsedMs }),
          () =>
            `Flushed ${path} up to sequence number ${formatNumber(durableSeq)}, ` +
            `${plural(replayedCommits, 'commit')} from the log ` +
            session.style.faint(`(${formatDuration(elapsedMs)})`) +
            (durableSeq < seq ? `\n${notFlushed(session, seq)}` : '')
        )
        return undefined
      })
    )
}

/** Commits that meet damage stay in the log until a repair. */
function notFlushed({ style }: Session, seq: number): string {
  const what = `commits up to ${formatNumber(seq)} stay in the log`
  return `${style.warn('warning:')} ${what}: they touch damaged data; run a repair`
}
