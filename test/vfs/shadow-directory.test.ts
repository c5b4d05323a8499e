import { spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import fs from 'node:fs'
import { hostname } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterEach, beforeEach, describe, expect, it, onTestFinished } from 'vitest'
import { exportLevelDb, importLevelDb, open } from '../../dist/index.js'
import { loadNativeBinding } from '../../dist/native-binding.js'
import { NodeVfs } from '../../dist/vfs/node-vfs.js'
import { forgetOwner } from '../helpers/forget-owner.js'
import { useStores } from '../helpers/store.js'

const stores = useStores()
const holder = fileURLToPath(new URL('shadow-holder.mjs', import.meta.url))
const copier = fileURLToPath(new URL('../transfer/copier.mjs', import.meta.url))
const ownerName = 'shadow.owner'
const vfs = new NodeVfs()
const native = loadNativeBinding()

let directory: string
let place: string
let files: string
let before: string | undefined
beforeEach(() => {
  directory = stores.directory()
  place = join(directory, 'tmp')
  fs.mkdirSync(place)
  files = join(directory, 'files')
  fs.mkdirSync(files)
  for (const name of ['linked', 'copied']) fs.writeFileSync(join(files, name), name)
  before = process.env['TMPDIR']
  process.env['TMPDIR'] = place
})
afterEach(() => {
  if (before === undefined) delete process.env['TMPDIR']
  else process.env['TMPDIR'] = before
})

const shadow = (): Promise<string> => vfs.shadow(files, (name) => name === 'copied')

function remove(path: string): void {
  for (const name of vfs.readdirSync(path)) vfs.unlinkSync(`${path}/${name}`)
  vfs.rmdirSync(path)
}

/** A process that is certainly dead: its number is of one that was waited for. */
async function deadPid(): Promise<number> {
  const child = spawn(process.execPath, ['-e', ''])
  await once(child, 'close')
  return child.pid!
}

/** What a dead process left, changed afterwards. */
async function leftover(change: (owner: Record<string, unknown>) => void = () => undefined) {
  const path = await shadow()
  const owner = JSON.parse(fs.readFileSync(join(path, ownerName), 'utf8'))
  owner.pid = await deadPid()
  change(owner)
  fs.writeFileSync(join(path, ownerName), JSON.stringify(owner).padEnd(512))
  return path
}

/** Makes one more and removes it: what is there afterwards was not for it to remove. */
async function left(): Promise<string[]> {
  remove(await shadow())
  return fs.readdirSync(place)
}

describe('a shadow', () => {
  it('has links and copies, and is gone when it was removed', async () => {
    const path = await shadow()
    expect(fs.readlinkSync(join(path, 'linked'))).toBe(join(files, 'linked'))
    expect(fs.lstatSync(join(path, 'copied')).isFile()).toBe(true)
    remove(path)
    expect(fs.readdirSync(place)).toEqual([])
  })

  it('of a directory with a file of the name of its own record can be made', async () => {
    fs.writeFileSync(join(files, ownerName), 'of somebody else')
    remove(await shadow())
    expect(fs.readFileSync(join(files, ownerName), 'utf8')).toBe('of somebody else')
  })

  it('leaves nothing behind where it cannot be made', async () => {
    fs.mkdirSync(join(files, 'directory'))
    await expect(vfs.shadow(files, () => true)).rejects.toThrow()
    expect(fs.readdirSync(place)).toEqual([])
  })
})

describe('what a dead process left', () => {
  it('is removed by the next one, what its links show stays', async () => {
    const path = await leftover()
    fs.symlinkSync(files, join(path, 'a-directory'))
    expect(await left()).toEqual([])
    expect(fs.readdirSync(files)).toEqual(['copied', 'linked'])
  })

  it('is removed also where somebody was killed who was removing it', async () => {
    const path = await leftover()
    fs.unlinkSync(join(path, 'linked'))
    expect(await left()).toEqual([])
  })

  it.each<[string, (owner: Record<string, unknown>) => void]>([
    ['its process lives', (owner) => (owner['pid'] = process.ppid)],
    ['no process can have that number', (owner) => (owner['pid'] = 0)],
    ['it is of another host', (owner) => (owner['host'] = 'elsewhere')],
    ['it is of another space of processes', (owner) => (owner['host'] = `${hostname()} pid:[1]`)],
    ['it is of another start of the machine', (owner) => (owner['bootId'] = 'before')]
  ])('stays when %s', async (_, change) => {
    await leftover(change)
    expect(await left()).toHaveLength(1)
  })

  it.each<[string, (path: string) => void]>([
    ['there is no record', (path) => fs.unlinkSync(join(path, ownerName))],
    ['the record is damaged', (path) => fs.writeFileSync(join(path, ownerName), '{"pid":')],
    ['there is a directory in it', (path) => fs.mkdirSync(join(path, 'sub'))],
    ['others can look into it', (path) => fs.chmodSync(path, 0o750)],
    ['it has another name', (path) => fs.renameSync(path, join(place, 'kintsugi-shadow-abcdefg'))],
    [
      'the record is a link',
      (path) => {
        fs.renameSync(join(path, ownerName), join(place, 'record'))
        fs.symlinkSync(join(place, 'record'), join(path, ownerName))
      }
    ],
    [
      'it is a link to a directory',
      (path) => {
        fs.renameSync(path, join(place, 'real'))
        fs.symlinkSync(join(place, 'real'), path)
      }
    ]
  ])('stays as it is when %s', async (_, change) => {
    const path = await leftover()
    change(path)
    const names = () => fs.readdirSync(place, { recursive: true }).map(String).sort()
    const all = names()
    await left()
    expect(names()).toEqual(all)
  })

  it.runIf(process.getuid?.() === 0).each(['the shadow', 'a file of it'])(
    'stays when %s belongs to somebody else',
    async (what) => {
      const path = await leftover()
      fs.lchownSync(what === 'the shadow' ? path : join(path, 'copied'), 12_345, 12_345)
      expect(await left()).toHaveLength(1)
    }
  )

  it('stays where anybody could exchange it for something else', async () => {
    await leftover()
    fs.chmodSync(place, 0o777)
    expect(await left()).toHaveLength(1)
    fs.chmodSync(place, 0o1777)
    expect(await left()).toEqual([])
  })
})

async function said(child: ChildProcess, text: string): Promise<void> {
  let output = ''
  for await (const data of child.stdout!) {
    output += String(data)
    if (output.includes(text)) return
  }
  throw new Error(`the process ended: ${output}`)
}

function started(args: readonly string[]): ChildProcess {
  const child = spawn(process.execPath, args, { stdio: ['pipe', 'pipe', 'inherit'] })
  onTestFinished(() => void child.kill('SIGKILL'))
  return child
}

async function kill(child: ChildProcess): Promise<void> {
  const closed = once(child, 'exit')
  child.kill('SIGKILL')
  await closed
}

describe('a process that is killed', () => {
  // Without the addon, readers do not share the lock.
  it.skipIf(!native)(
    'while it reads a level store leaves nothing that the next reader does not remove, and that one’s stays',
    async () => {
      const path = join(directory, 'store')
      const store = await open(path, { backend: 'level' })
      for (let i = 0; i < 500; i++) await store.put(`key${i}`, 'x'.repeat(1000))
      await store.compact()
      await store.close()
      // Readers share the lock, so both have their shadow at the same time.
      const [first, second] = [started([holder, path]), started([holder, path])]
      await Promise.all([said(first, 'open'), said(second, 'open')])
      expect(fs.readdirSync(place)).toHaveLength(2)
      await kill(first)
      expect(fs.readdirSync(place)).toHaveLength(2)
      await (await open(path, { readOnly: true })).close()
      expect(fs.readdirSync(place)).toHaveLength(1)
      await kill(second)
      await (await open(path, { readOnly: true })).close()
      expect(fs.readdirSync(place)).toEqual([])
    }
  )

  it('while it imports a LevelDB database leaves nothing that the next import does not remove', async () => {
    const [made, plain, copied] = ['made', 'plain', 'copied'].map((name) => join(directory, name))
    const store = await open(made!)
    const value = Buffer.alloc(500, 7)
    for (let i = 0; i < 40; i++) {
      const batch = Array.from({ length: 500 }, (_, j) => ({ key: `${i}-${j}`, value }))
      await store.batch(batch.map((entry) => ({ type: 'put', ...entry })))
    }
    await store.close()
    await exportLevelDb(made!, plain!)
    const child = started([copier, 'importLevelDb', plain!, copied!, '{}'])
    await said(child, 'copy 0')
    await kill(child)
    forgetOwner(copied!)
    expect(fs.readdirSync(place)).toHaveLength(1)
    await importLevelDb(plain!, copied!)
    expect(fs.readdirSync(place)).toEqual([])
  })
})
