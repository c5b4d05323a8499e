import type { BackendContext, BackendKind } from '../../backend/backend.js'
import { BtreeBackend } from './btree-backend.js'
import { salvageTree } from './salvage.js'

/** The B+ tree as the registry knows it. */
export const btreeKind: BackendKind = {
  name: 'btree',
  formatOptions: ['pageBytes'],
  create: (context: BackendContext) => BtreeBackend.create(context),
  open: (context: BackendContext) => BtreeBackend.open(context),
  salvage: salvageTree
}
