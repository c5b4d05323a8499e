import { configDefaults, defineConfig } from 'vitest/config'

/** Backends that the shared suites run on. */
const backends = ['btree', 'lsm', 'level'] as const

/** Suites that every backend has to pass; which one a run is about, `testedBackend` says. */
const shared = [
  'test/abstract-level/**/*.test.ts',
  'test/cli/{export,import,kill-import}.test.ts',
  'test/conformance/**/*.test.ts',
  'test/contract/**/*.test.ts',
  'test/crash/**/*.test.ts',
  'test/damage/**/*.test.ts',
  'test/golden/**/*.test.ts',
  'test/model/**/*.test.ts',
  'test/process/**/*.test.ts',
  'test/reads/**/*.test.ts',
  'test/recovery/**/*.test.ts',
  'test/store/**/*.test.ts'
]

/** Of those, the suites that have nothing to say about a backend, with the reason. */
const exceptions: Record<(typeof backends)[number], readonly string[]> = {
  btree: [],
  lsm: [],
  level: [
    // They cut the power on, or damage, a file system in memory, where LevelDB finds no files. The
    // same properties on real directories: test/backends/level (power cuts, faults, repair).
    'test/crash/**',
    'test/damage/**',
    'test/recovery/**',
    'test/store/{closing,destroy,directories,durability,events,failed-opening}.test.ts',
    'test/store/{maintenance,open,points}.test.ts',
    // It is about backends that it names.
    'test/store/profiles.test.ts',
    // Loops that wait for the disk, which LevelDB's cursors cannot. By `for await` and `nextv` the
    // model, nextv.test.ts and the conformance suites read the same ranges and transactions there.
    'test/store/{iterators,transactions}.test.ts'
  ]
}

export default defineConfig({
  test: {
    pool: 'forks',
    maxWorkers: 2,
    testTimeout: 240_000,
    hookTimeout: 240_000,
    // The tests exercise what users get: the built files, loaded by Node itself and not by vite.
    server: { deps: { external: [/\/dist\//] } },
    projects: [
      {
        extends: true,
        test: {
          name: 'parts',
          include: ['test/**/*.test.ts'],
          exclude: [...configDefaults.exclude, ...shared],
          provide: { backend: 'btree' }
        }
      },
      ...backends.map((backend) => ({
        extends: true as const,
        test: {
          name: backend,
          include: shared,
          exclude: [...configDefaults.exclude, ...exceptions[backend]],
          provide: { backend }
        }
      }))
    ]
  }
})
