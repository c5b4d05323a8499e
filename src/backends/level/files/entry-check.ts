/** True where a stored value proves to be that of the stored key; both are views. */
export type EntryCheck = (storedKey: Buffer, storedValue: Buffer) => boolean
