// quadstore's tests of its backend, laid beside the installed package and bundled for mocha.
import { existsSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { build } from 'esbuild'

const directory = fileURLToPath(new URL('node_modules/quadstore/test', import.meta.url))
const bundle = `${directory}/bundle.mjs`
// Everything the package itself has stays what was installed.
const installed = {
  name: 'installed',
  setup(builder) {
    builder.onResolve({ filter: /dist\// }, ({ path }) => {
      const file = path.replace(/^.*?dist\/(esm\/)?/, '../dist/')
      return { path: existsSync(`${directory}/${file}`) ? file : `${file}.js`, external: true }
    })
  }
}
await build({
  entryPoints: [`${directory}/backends/classiclevel.ts`],
  outfile: bundle,
  bundle: true,
  format: 'esm',
  platform: 'node',
  packages: 'external',
  plugins: [installed],
  logLevel: 'error'
})
const { runClassicLevelTests } = await import(bundle)
runClassicLevelTests()
