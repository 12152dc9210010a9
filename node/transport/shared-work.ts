/** Something under way, and how many wait for it: with the last one it ends. */
interface Shared<T> {
  readonly made: Promise<T>
  readonly abort: AbortController
  waiting: number
}

/**
 * What several ask for at once is done once: whoever comes second joins. Forty requests to a peer nobody has spoken to yet are
 * one dial, not forty.
 */
export class SharedWork<T> {
  /** What is under way, by what it is for. */
  readonly #running = new Map<string, Shared<T>>()

  /**
   * Does `begin`, or joins what goes on under this key; it is told to end when nobody waits any more. @throws what `begin` throws,
   * and the reason of `signal`.
   */
  join(key: string, begin: (signal: AbortSignal) => Promise<T>, signal: AbortSignal): Promise<T> {
    if (signal.aborted) return Promise.reject(signal.reason as Error)
    const shared = this.#running.get(key) ?? this.#begin(key, begin)
    shared.waiting++
    return new Promise((resolve, reject) => {
      const leave = (): void => {
        signal.removeEventListener('abort', left)
        if (--shared.waiting === 0) {
          // Who comes now begins anew.
          if (this.#running.get(key) === shared) this.#running.delete(key)
          shared.abort.abort(new Error('no longer wanted'))
        }
      }
      const left = (): void => {
        leave()
        reject(signal.reason as Error)
      }
      signal.addEventListener('abort', left)
      const isWaiting = (): boolean => !signal.aborted
      shared.made.then(
        (result) => {
          if (isWaiting()) leave()
          resolve(result)
        },
        (error: unknown) => {
          if (isWaiting()) leave()
          reject(error)
        },
      )
    })
  }

  #begin(key: string, begin: (signal: AbortSignal) => Promise<T>): Shared<T> {
    const abort = new AbortController()
    const made = begin(abort.signal).finally(() => {
      if (this.#running.get(key) === shared) this.#running.delete(key)
    })
    made.catch(() => undefined) // whoever waits is told
    const shared: Shared<T> = { made, abort, waiting: 0 }
    this.#running.set(key, shared)
    return shared
  }
}
