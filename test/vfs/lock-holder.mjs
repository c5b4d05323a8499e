// Locks argv[2] (argv[3]: native or javascript, argv[4]: exclusive or shared), says how that went in
// one line of JSON, and releases the lock when its input ends.
import { spawn } from 'node:child_process'
import { NodeVfs } from '../../dist/vfs/node-vfs.js'

const [, , path, kind, mode, extra] = process.argv
const vfs = new NodeVfs({ native: kind === 'native' })
try {
  const lock = vfs.lockSync(path, { exclusive: mode === 'exclusive', now: 0 })
  const child = extra === 'with-child' ? spawn('sleep', ['60'], { stdio: 'ignore' }) : undefined
  say({ pid: process.pid, previousOwner: lock.previousOwner, childPid: child?.pid })
  process.stdin.on('end', () => {
    lock.release()
    child?.kill()
    process.exit()
  })
  process.stdin.resume()
} catch (error) {
  say({ pid: process.pid, error: error.toJSON() })
}

function say(what) {
  process.stdout.write(`${JSON.stringify(what)}\n`)
}
