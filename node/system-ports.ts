import { randomBytes } from 'node:crypto'
import type { Clock, Random, Timers } from '../protocols/common/ports.ts'

/** The machine's wall clock. */
export const systemClock: Clock = { now: () => Date.now() }

/** The same time by a clock that nobody sets: it differs once the machine's time is corrected. */
export const steadyClock: Clock = {
  now: () => Math.round(performance.timeOrigin + performance.now()),
}

/** node:crypto's generator. */
export const systemRandom: Random = { bytes: (length) => Uint8Array.from(randomBytes(length)) }

/** Node's timers; they do not keep the process alive, the servers do. */
export const systemTimers: Timers = {
  every(intervalMs, run) {
    const timer = setInterval(run, intervalMs)
    timer.unref()
    return () => clearInterval(timer)
  },
  after(delayMs, run) {
    const timer = setTimeout(run, delayMs)
    timer.unref()
    return () => clearTimeout(timer)
  },
}
