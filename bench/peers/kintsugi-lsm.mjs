// Kintsugi through its public API, LSM backend.
import { open } from '../../dist/index.js'
import { KintsugiStore } from './kintsugi.mjs'

export { version } from './kintsugi.mjs'

export async function openStore(dir, { durability, cacheBytes }) {
  return new KintsugiStore(await open(dir, { backend: 'lsm', durability, cacheBytes }))
}
