import { largeCells } from './large.mjs'
import { lifecycleCells } from './lifecycle.mjs'
import { mixedCells } from './mixed.mjs'
import { readCells } from './reads.mjs'
import { writeCells } from './writes.mjs'
import { loadRandom, warm } from '../lib/workload.mjs'

/** The loaded store that most cells read or get a copy of: every key once, in random order. */
const fixture = {
  needs: ['writeBatch'],
  run: async (context) => {
    const store = await context.openEmpty('os')
    await loadRandom(store, context.count)
    await store.settle()
    await warm(store, context.count)
    await store.close()
    return {}
  }
}

/**
 * Each cell runs in a process of its own. `needs`: methods without which a store has no such cell.
 * `fixture`: 'shared' for cells that only read, 'copy' for those that write, none for an empty
 * start. `before`: a process that runs first, on the same directory, and kills itself.
 */
export const cells = {
  fixture,
  ...writeCells,
  ...readCells,
  ...mixedCells,
  ...lifecycleCells,
  ...largeCells
}
