import type { Vfs, VfsFile } from '../../dist/vfs/vfs.js'

/** A view of a file system that knows which files were opened through it and are not closed yet. */
export function countingOpenFiles(vfs: Vfs): { readonly vfs: Vfs; readonly open: Set<VfsFile> } {
  const open = new Set<VfsFile>()
  const counted = (file: VfsFile): VfsFile => {
    open.add(file)
    const forget = <T>(close: () => T): T => {
      open.delete(file)
      return close()
    }
    return bound(file, {
      close: () => forget(() => file.close()),
      closeSync: () => forget(() => file.closeSync())
    })
  }
  return {
    open,
    vfs: bound(vfs, {
      open: async (...args: Parameters<Vfs['open']>) => counted(await vfs.open(...args)),
      openSync: (...args: Parameters<Vfs['openSync']>) => counted(vfs.openSync(...args))
    })
  }
}

function bound<T extends object>(target: T, instead: Partial<Record<keyof T, unknown>>): T {
  return new Proxy(target, {
    get(_, name) {
      if (Object.hasOwn(instead, name)) return instead[name as keyof T]
      const value: unknown = Reflect.get(target, name, target)
      return typeof value === 'function' ? (value.bind(target) as unknown) : value
    }
  })
}
