import type { ReadView } from '../backend/backend.js'
import { KintsugiError } from '../errors.js'
import type { Encoding } from '../options.js'
import { Reader, type PointReads } from './reader.js'

/**
 * A stable read view: later commits do not show in it. It keeps replaced pages alive, so close it
 * when it is no longer needed.
 */
export class Snapshot<K extends Buffer | string = Buffer, V extends Buffer | string = Buffer>
  extends Reader<K, V>
  implements Disposable
{
  /** Sequence number of the last commit it shows. */
  readonly seq: number
  readonly #view: SharedView
  readonly #onClose: (snapshot: Snapshot<K, V>) => void
  #open = true

  constructor(
    view: ReadView,
    keyEncoding: Encoding,
    valueEncoding: Encoding,
    onClose: (snapshot: Snapshot<K, V>) => void
  ) {
    super(keyEncoding, valueEncoding)
    this.seq = view.seq
    this.#view = new SharedView(view)
    this.#onClose = onClose
  }

  /** Frees what the snapshot holds, its iterators included; closing twice is allowed. */
  close(): void {
    if (!this.#open) return
    this.#open = false
    this.iterators.closeAll()
    this.#view.close()
    this.#onClose(this)
  }

  [Symbol.dispose](): void {
    this.close()
  }

  protected override reads(): PointReads {
    this.#checkOpen()
    return this.#view.shared
  }

  protected override openView(): ReadView {
    this.#checkOpen()
    return this.#view.share()
  }

  #checkOpen(): void {
    if (this.#open) return
    throw new KintsugiError(
      'KINTSUGI_SNAPSHOT_NOT_OPEN',
      'the snapshot is closed, or its store is; take a new one'
    )
  }
}

/** One view used by several readers; closed when the last of them is. */
class SharedView {
  readonly shared: ReadView
  #users = 1

  constructor(view: ReadView) {
    this.shared = view
  }

  share(): ReadView {
    this.#users++
    const view = this.shared
    return {
      seq: view.seq,
      answersLoads: view.answersLoads,
      getSync: (key) => view.getSync(key),
      tryGet: (key) => view.tryGet(key),
      load: (key) => view.load(key),
      tryGetMany: (keys) => view.tryGetMany(keys),
      get texts() {
        return view.texts
      },
      loadMany: (keys, values) => view.loadMany(keys, values),
      cursor: (options) => view.cursor(options),
      close: () => this.close()
    }
  }

  close(): void {
    if (--this.#users === 0) this.shared.close()
  }
}
