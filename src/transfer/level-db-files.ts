import type { Vfs } from '../vfs/vfs.js'

/** Names that LevelDB gives its files; `lost` is where its own repair puts what it takes out. */
const filePattern = /^(CURRENT|LOG|LOG\.old|LOCK|MANIFEST-\d+|\d+\.(ldb|sst|log|dbtmp))$/

/** Removes the files of LevelDB from a directory, durably, and nothing else. */
export async function clearLevelDb(vfs: Vfs, path: string): Promise<void> {
  for (const name of vfs.readdirSync(path)) {
    if (filePattern.test(name)) await vfs.unlink(`${path}/${name}`)
  }
  await vfs.syncDirectory(path)
}
