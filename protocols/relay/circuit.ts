import type { Timers } from '../common/ports.ts'
import type { ByteChannel } from '../mux/channel.ts'
import type { RelayCode } from './errors.ts'
import { joinChannels, type Joined } from './join.ts'
import { CONNECT_MS } from './limits.ts'

/** Told how a circuit goes. */
export interface CircuitListener {
  /** The target's first bytes are there, and follow what is written to the source now. */
  answered(): void
  /** The target did not answer; the source's channel is the listener's again. */
  refused(code: RelayCode): void
  /** It ended, or was not made: null when a side was gone before they were joined. Once, before `refused`. */
  over(joined: Joined | null): void
}

/**
 * Joins a source's channel with the target's. Until the target has answered the source hears why it does not, after `CONNECT_MS`
 * at the latest; from then on ends and resets pass through. Null when it was over at once.
 */
export function makeCircuit(
  source: ByteChannel,
  target: ByteChannel,
  waiting: readonly Uint8Array[],
  timers: Timers,
  listener: CircuitListener,
): Joined | null {
  /** Why the source is refused while the target has not answered; null once it has. */
  let code: RelayCode | null = 'relay-target-refused'
  let isOver = false
  let joined: Joined | null = null
  let cancel = (): void => undefined
  const over = (): void => {
    if (isOver) return
    isOver = true
    cancel()
    listener.over(joined)
  }
  const refuse = (why: RelayCode): void => {
    if (isOver) return
    over()
    target.reset()
    listener.refused(why)
  }
  const made = joinChannels(
    refusable(source, () => code, refuse),
    target,
    waiting,
    {
      onClosed: over,
      onFirstBack: () => {
        code = null
        cancel()
        listener.answered()
      },
    },
  )
  if (isOver) return null
  joined = made
  cancel = timers.after(CONNECT_MS, () => {
    code = 'relay-timeout'
    made.cut()
  })
  return made
}

/** The source's channel as the join sees it: given up before the target answered, it is refused (`code`) instead of only ended. */
function refusable(
  channel: ByteChannel,
  code: () => RelayCode | null,
  refuse: (code: RelayCode) => void,
): ByteChannel {
  const giveUp = (otherwise: () => void): void => {
    const reason = code()
    if (reason === null) otherwise()
    else refuse(reason)
  }
  return {
    use: (user) => channel.use(user),
    write: (bytes, late) => channel.write(bytes, late),
    end: () => giveUp(() => channel.end()),
    reset: () => giveUp(() => channel.reset()),
    consumed: (bytes) => channel.consumed(bytes),
  }
}
