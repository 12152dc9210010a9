import type { TestFn } from 'ava'
import * as fc from 'fast-check'

/** One message as a replay sees it. The same three numbers are the same bytes. */
export interface OfferedMessage {
  readonly sender: number
  /** Nonce, counter or sequence number; grows with the sender's messages. */
  readonly serial: number
  /** The sender's clock, ms. Of no meaning where messages carry no time. */
  readonly timeMs: number
}

/** A running user of the replay layer, with its disk. */
export interface ReplayUser {
  /** True when the message is accepted as new. It is authentic: replays are. */
  offer(message: OfferedMessage, now: number): boolean
  /** Writes what is unsaved. */
  save(now: number): void
  /** Ends the process and starts it again on its disk. A crash saves nothing more. */
  restart(how: 'stop' | 'crash', now: number): ReplayUser
  /** Entries of its memories together. */
  readonly size: number
}

/** How a user is driven, and what it promises. */
export interface ReplayAdapter {
  readonly name: string
  /** A user with an empty disk, started at `now`. */
  open(now: number): ReplayUser
  /** How far a message's time may be off; null where messages carry none. */
  readonly window: { readonly pastMs: number; readonly futureMs: number } | null
  /** A message so many serials behind the newest of its sender is refused; null when only its time counts. */
  readonly oldAfterSerials: number | null
  /** Senders a user made by `open` can remember, made small for the test; null where the bound has a test of its own. */
  readonly sendersMax: number | null
  /** Upper bound of `size`. */
  readonly sizeMax: number
  /** True when not even a crash between acceptance and saving lets a message in again. */
  readonly isCrashSafe: boolean
}

const START = 1_800_000_000_000
/** Between the start of a process and the first message it is offered. */
const STARTUP_MS = 1000

/** What every user of the replay layer has to do, as tests; `adapter` drives the user. */
export function replayCompliance(test: TestFn, adapter: ReplayAdapter): void {
  const { name, window } = adapter
  const opened = (): { user: ReplayUser; now: number } => ({
    user: adapter.open(START),
    now: START + STARTUP_MS,
  })
  const at = (serial: number, timeMs: number, sender = 0): OfferedMessage => ({ sender, serial, timeMs })

  test(`${name}: a fresh message is accepted once, and never again however late its copy comes`, (t) => {
    const { user, now } = opened()
    t.true(user.offer(at(1, now), now))
    const livesMs = window === null ? 3_600_000 : window.pastMs
    for (const laterMs of [0, 1, 1000, livesMs / 2, livesMs, livesMs + 5000])
      t.false(user.offer(at(1, now), now + laterMs), `${laterMs} ms later`)
    const later = now + livesMs + 6000
    t.true(user.offer(at(2, later), later), 'the next message of the sender')
  })

  test(`${name}: messages of other senders are other messages`, (t) => {
    const { user, now } = opened()
    const senders = adapter.sendersMax === 1 ? [0] : [0, 1]
    for (const sender of senders) t.true(user.offer(at(1, now, sender), now))
    for (const sender of senders) t.false(user.offer(at(1, now, sender), now))
  })

  test(`${name}: an old message is refused though it was never seen`, (t) => {
    const { user, now } = opened()
    if (window !== null) t.false(user.offer(at(1, now - window.pastMs - 1), now))
    if (adapter.oldAfterSerials === null) return t.true(user.offer(at(2, now), now))
    const serial = 10 + adapter.oldAfterSerials
    t.true(user.offer(at(serial, now), now))
    t.false(user.offer(at(serial - adapter.oldAfterSerials, now), now))
  })

  if (window !== null) {
    test(`${name}: a message from further in the future than allowed is refused, at the edge it is taken`, (t) => {
      const { user, now } = opened()
      t.false(user.offer(at(2, now + window.futureMs + 1), now))
      t.false(user.offer(at(3, now + 10 * 365 * 86_400_000), now))
      // A sender far ahead may have to wait until its lead is on the disk.
      user.offer(at(4, now + window.futureMs), now)
      user.save(now)
      const later = now + 1000
      t.true(user.offer(at(5, later + window.futureMs), later))
    })
  }

  const { sendersMax } = adapter
  if (sendersMax !== null) {
    test(`${name}: a full memory refuses newcomers, forgets nobody alive, and has room when they are gone`, (t) => {
      const { user, now } = opened()
      for (let sender = 0; sender < sendersMax; sender++)
        t.true(user.offer(at(1, now, sender), now), `sender ${sender}`)
      t.false(user.offer(at(1, now, sendersMax), now), 'one more')
      for (let sender = 0; sender < sendersMax; sender++) t.false(user.offer(at(1, now, sender), now + 1))
      if (window === null) return
      const later = now + window.pastMs + window.futureMs + 5000
      t.true(user.offer(at(2, later, sendersMax), later), 'after everybody fell silent')
    })
  }

  for (const how of ['stop', 'crash'] as const) {
    test(`${name}: what was accepted and saved is refused after a ${how}, and new messages are taken`, (t) => {
      const { user, now } = opened()
      t.true(user.offer(at(7, now), now))
      user.save(now)
      const again = user.restart(how, now + 1000)
      const later = now + 1000 + STARTUP_MS
      t.false(again.offer(at(7, now), later))
      t.true(again.offer(at(8, later), later))
      t.false(again.offer(at(8, later), later))
    })
  }

  if (adapter.isCrashSafe) {
    test(`${name}: what was accepted and not saved is refused after a crash, from old and new senders, clocks ahead or behind`, (t) => {
      for (const leadMs of [0, 300, -50, -60_000, 90_000]) {
        const { user, now } = opened()
        // The first message makes a sender with a clock ahead known; it may be refused until that is saved.
        user.offer(at(1, now + leadMs), now)
        user.save(now)
        const soon = now + 3000
        t.true(user.offer(at(2, soon + leadMs), soon), `${leadMs} ms ahead`)
        const isNewTaken = user.offer(at(1, soon + leadMs, 1), soon)
        const again = user.restart('crash', soon + 10)
        for (const laterMs of [10, STARTUP_MS, 60_000, 119_000]) {
          t.false(
            again.offer(at(2, soon + leadMs), soon + laterMs),
            `${leadMs} ms ahead, after ${laterMs} ms`,
          )
          if (isNewTaken) t.false(again.offer(at(1, soon + leadMs, 1), soon + laterMs))
        }
      }
    })
  }

  test(`${name}: a clock that is set back lets nothing in again`, (t) => {
    const { user, now } = opened()
    const hour = 3_600_000
    t.true(user.offer(at(1, now), now))
    t.true(user.offer(at(2, now + hour), now + hour))
    for (const back of [now, now + 1, now + 30_000, now + hour]) {
      t.false(user.offer(at(1, now), back))
      t.false(user.offer(at(2, now + hour), back))
    }
    const again = user.restart('stop', now - 5000)
    t.false(again.offer(at(1, now), now))
    t.false(again.offer(at(2, now + hour), now + hour))
  })

  test(`${name}: whatever arrives, whenever, over restarts: nothing twice, and memory within its bound`, (t) => {
    const action = fc.oneof(
      { weight: 8, arbitrary: fc.record({ kind: fc.constant('offer' as const), message: fc.nat(30) }) },
      { weight: 2, arbitrary: fc.record({ kind: fc.constant('wait' as const), ms: fc.nat(90_000) }) },
      { weight: 1, arbitrary: fc.record({ kind: fc.constant('save' as const) }) },
      { weight: 1, arbitrary: fc.record({ kind: fc.constant('restart' as const) }) },
    )
    fc.assert(
      fc.property(fc.array(action, { maxLength: 60 }), (actions) => {
        let { user, now } = opened()
        const accepted = new Set<number>()
        const recorded = new Map<number, OfferedMessage>()
        for (const step of actions) {
          if (step.kind === 'wait') now += step.ms
          else if (step.kind === 'save') user.save(now)
          else if (step.kind === 'restart') {
            if (!adapter.isCrashSafe) user.save(now)
            user = user.restart(adapter.isCrashSafe ? 'crash' : 'stop', now)
          } else {
            const { message } = step
            const offered = recorded.get(message) ?? at(message, now, message % 3)
            recorded.set(message, offered)
            if (user.offer(offered, now)) {
              t.false(accepted.has(message))
              accepted.add(message)
            }
          }
          t.true(user.size <= adapter.sizeMax, `${user.size} entries`)
        }
      }),
      { numRuns: 150 },
    )
  })
}
