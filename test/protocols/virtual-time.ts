import type { Clock, Timers } from '../../protocols/common/ports.ts'
import { Scheduler } from '../../simulations/world/scheduler.ts'

/** Time that stands still until a test lets it pass. */
export interface VirtualTime {
  readonly clock: Clock
  readonly timers: Timers
  /** Lets so many ms pass, and runs what falls due. */
  pass(ms: number): void
}

/** Begins at 0. */
export function virtualTime(): VirtualTime {
  const scheduler = new Scheduler()
  const after = (delayMs: number, run: () => void): (() => void) => {
    let isOff = false
    scheduler.after(delayMs, () => {
      if (!isOff) run()
    })
    return () => void (isOff = true)
  }
  const every = (intervalMs: number, run: () => void): (() => void) => {
    let cancel = (): void => undefined
    const again = (): void => {
      cancel = after(intervalMs, () => {
        again()
        run()
      })
    }
    again()
    return () => cancel()
  }
  return {
    clock: { now: () => scheduler.now },
    timers: { after, every },
    pass(ms) {
      const end = scheduler.now + ms
      while (scheduler.next(end));
    },
  }
}
