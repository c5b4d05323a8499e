import { defineConfig } from 'vitest/config'

export default defineConfig({
  test: {
    include: ['test/**/*.test.ts'],
    pool: 'forks',
    maxWorkers: 2,
    testTimeout: 240_000,
    hookTimeout: 240_000,
    // The tests exercise what users get: the built files, loaded by Node itself and not by vite.
    server: { deps: { external: [/\/dist\//] } }
  }
})
