import type { CompactionEdit, CompactorHost } from './compaction/compactor.js'
import type { FlusherParts } from './flusher.js'
import type { CompactionJob } from './jobs/job.js'

/** Connects the compactor with the parts of an open backend. */
export function compactionHost(parts: FlusherParts): CompactorHost {
  const { context, manifest, state, installer, runner } = parts
  return {
    clock: context.clock,
    version: () => manifest.version,
    viewSeqs: () => state.views.list(),
    allocate: (count) => installer.allocate(count),
    run: (job, options) => runner.run(job, options),
    install: async (edit: CompactionEdit, job: CompactionJob | undefined) => {
      const { added, removed } = edit
      if (job === undefined) await installer.record({ added: [...added], removed: [...removed] })
      else {
        const { firstOutput, maxOutputs } = job
        const outputs = { outputs: added, firstOutput, outputCount: maxOutputs }
        await installer.install(outputs, { removed: [...removed] })
      }
      await installer.clean()
    },
    discard: async ({ firstOutput, maxOutputs }) => {
      installer.giveUp(firstOutput, maxOutputs)
      await installer.clean()
    },
    onDone: (detail) => context.notify({ name: 'compaction', detail }),
    onFailure: (detail) => context.notify({ name: 'compaction-failed', detail })
  }
}
