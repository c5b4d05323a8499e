import type { BackendContext, BackendKind, Progress, SalvageReport } from '../../backend/backend.js'
import { KintsugiError } from '../../errors.js'
import { BtreeBackend } from './btree-backend.js'

/** The B+ tree as the registry knows it. */
export const btreeKind: BackendKind = {
  name: 'btree',
  formatOptions: ['pageBytes'],
  create: (context: BackendContext) => BtreeBackend.create(context),
  open: (context: BackendContext) => BtreeBackend.open(context),
  salvage(_source: string, _context: BackendContext, _progress: Progress): Promise<SalvageReport> {
    return Promise.reject(
      new KintsugiError('KINTSUGI_NOT_SUPPORTED', 'salvage of a B+ tree file is not available yet')
    )
  }
}
