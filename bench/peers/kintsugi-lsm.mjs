// Kintsugi through its public API, LSM backend.
import { open } from '../../dist/index.js'
import { KintsugiStore } from './kintsugi.mjs'

export { version } from './kintsugi.mjs'

export async function openStore(dir, { durability, cacheBytes }) {
  const db = await open(dir, { backend: 'lsm', durability, cacheBytes })
  // As the other LSM stores that can: compacted.
  return new KintsugiStore(db, () => db.compact())
}
