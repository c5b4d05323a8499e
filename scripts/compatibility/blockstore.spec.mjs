// The suite of interface-blockstore-tests on blockstore-level.
import { mkdtempSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { LevelBlockstore } from 'blockstore-level'
import { interfaceBlockstoreTests } from 'interface-blockstore-tests'

describe('blockstore-level', () => {
  interfaceBlockstoreTests({
    async setup() {
      const store = new LevelBlockstore(mkdtempSync(join(tmpdir(), 'level-')))
      await store.open()
      return store
    },
    teardown() {}
  })
})
