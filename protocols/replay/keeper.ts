import { MalformedError } from '../common/errors.ts'
import type { Clock, Store, Timers } from '../common/ports.ts'
import { SAVE_EVERY_MS } from './limits.ts'
import { FirstMessageGuard } from './machine.ts'
import type { Keepable } from './snapshot.ts'

/** What keeping a memory needs. */
export interface KeeperInit {
  readonly memory: Keepable
  readonly store: Store
  /** Key in the store. */
  readonly key: string
  readonly clock: Clock
  readonly timers: Timers
  /** Told about a write that failed; the next one is tried five seconds later. */
  readonly onError: (error: unknown) => void
}

/** Writes a memory to the store: once before it is used, then what changed at most every five seconds, and once at the end. */
export class StateKeeper {
  readonly #init: KeeperInit
  #stopTimer = (): void => undefined
  #writing: Promise<void> = Promise.resolve()
  #isWriting = false

  private constructor(init: KeeperInit) {
    this.#init = init
  }

  /** Rejects when the first write fails: without it the memory accepts nothing, so it is better known at once. */
  static async start(init: KeeperInit): Promise<StateKeeper> {
    const keeper = new StateKeeper(init)
    await keeper.#write(false)
    keeper.#stopTimer = init.timers.every(SAVE_EVERY_MS, () => keeper.#saveIfDirty())
    return keeper
  }

  /** The last write, marked as the end of an orderly run. Nothing may be accepted any more when it is called. */
  async stop(): Promise<void> {
    this.#stopTimer()
    await this.#writing
    await this.#write(true)
  }

  #saveIfDirty(): void {
    if (this.#isWriting || !this.#init.memory.isDirty) return
    this.#isWriting = true
    this.#writing = this.#write(false)
      .catch(this.#init.onError)
      .finally(() => (this.#isWriting = false))
  }

  async #write(clean: boolean): Promise<void> {
    const { memory, store, key, clock } = this.#init
    const { bytes, written } = memory.snapshot(clock.now(), clean)
    await store.put(key, bytes, { sync: true })
    written()
  }
}

/** Key of the guard's memory in the store. */
const GUARD_KEY = 'replay/first-messages'

/**
 * The durable guard of a node: restored, written once, and kept from here on. Stop the keeper after the last handshake.
 * `onError` is also told about a damaged memory, after which nobody who dials is answered for two minutes.
 */
export async function openFirstMessageGuard(
  init: Omit<KeeperInit, 'memory' | 'key'>,
): Promise<{ readonly guard: FirstMessageGuard; readonly keeper: StateKeeper }> {
  const now = init.clock.now()
  const bytes = await init.store.get(GUARD_KEY)
  let guard: FirstMessageGuard
  try {
    guard = FirstMessageGuard.restore(bytes, now)
  } catch (error) {
    if (!(error instanceof MalformedError)) throw error
    init.onError(error)
    guard = FirstMessageGuard.afterLoss(now)
  }
  return { guard, keeper: await StateKeeper.start({ ...init, memory: guard, key: GUARD_KEY }) }
}
