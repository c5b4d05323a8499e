import fs from 'node:fs'
import { join } from 'node:path'

/**
 * Without the addon, whoever dies with a store open still owns it, in each copy of the files as well.
 * This does what the error tells to do.
 */
export function forgetOwner(directory: string): void {
  for (const name of fs.readdirSync(directory, { recursive: true }) as string[]) {
    if (name.endsWith('LOCK.owner')) fs.rmSync(join(directory, name), { force: true })
  }
}
