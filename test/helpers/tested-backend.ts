import { inject } from 'vitest'
import type { BackendName } from './backends.js'

declare module 'vitest' {
  interface ProvidedContext {
    backend: BackendName
  }
}

/** The backend that this run of a shared suite is about: one project of vitest for each. */
export const testedBackend: BackendName = inject('backend')

/** Its files, as a pattern for paths. */
export const backendFiles = `/${testedBackend}-`
