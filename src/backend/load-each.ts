import type { ReadView } from './backend.js'

/** `ReadView#loadMany` for whoever loads one key at a time. */
export async function loadEach(
  view: Pick<ReadView, 'tryGet' | 'load'>,
  keys: readonly Uint8Array[],
  values: (Buffer | undefined | null)[]
): Promise<void> {
  for (let i = 0; i < keys.length; i++) {
    while (values[i] === null) {
      values[i] = await view.load(keys[i])
      if (values[i] === null) values[i] = view.tryGet(keys[i])
    }
  }
}
