// The suite of interface-datastore-tests on datastore-level.
import { mkdtempSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { LevelDatastore } from 'datastore-level'
import { interfaceDatastoreTests } from 'interface-datastore-tests'

describe('datastore-level', () => {
  interfaceDatastoreTests({
    async setup() {
      const store = new LevelDatastore(mkdtempSync(join(tmpdir(), 'level-')))
      await store.open()
      return store
    },
    teardown() {}
  })
})
