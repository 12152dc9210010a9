import { MalformedError } from '../common/errors.ts'
import { firstFrame, FirstFrameReader } from '../common/first-frame.ts'
import type { Timers } from '../common/ports.ts'
import { peerIdFromKey } from '../common/peer-id.ts'
import { keptFew, type ByteChannel, type ChannelUser } from '../mux/channel.ts'
import { isRelayCode, RELAY_REASONS, RelayError, type RelayCode } from './errors.ts'
import { CONNECT_MS, FIRST_FRAME_MS, RELAY_FRAME_BYTES_MAX, RELAY_VERSION, RESERVE_MS } from './limits.ts'
import { answerFormat, askFormat, incomingFormat, RELAY_KIND, type RelayAnswer } from './wire.ts'

/** What a reservation's holder is told; `lost` once, as the last. */
export interface ReservationUser {
  reserved(load: { circuits: number; bytesPerSecond: number }): void
  load(load: { circuits: number; bytesPerSecond: number }): void
  lost(code: RelayCode, text: string): void
}

/** Asks a relay for a reservation on a fresh channel; it lasts as long as the channel. Returns the way to give it up. */
export function holdReservation(channel: ByteChannel, timers: Timers, user: ReservationUser): () => void {
  const state = { isHeld: false, hasEnded: false }
  let reader = newReader()
  const end = (code: RelayCode, text: string): void => {
    if (state.hasEnded) return
    state.hasEnded = true
    cancel()
    channel.reset()
    user.lost(code, text)
  }
  const cancel = timers.after(RESERVE_MS, () => end('relay-timeout', 'the relay did not answer in time'))
  const onAnswer = (message: RelayAnswer): void => {
    if (message.kind === RELAY_KIND.reserved && !state.isHeld) {
      state.isHeld = true
      cancel()
      user.reserved(message)
    } else if (message.kind === RELAY_KIND.load && state.isHeld) user.load(message)
    else if (message.kind === RELAY_KIND.refused) end(codeOf(message.code), 'the relay refuses')
    else end('relay-malformed', `an answer of kind ${message.kind} to a reservation`)
  }
  channel.use({
    onData(bytes) {
      let rest = bytes
      try {
        while (rest.length > 0 && !state.hasEnded) {
          const frame = reader.push(rest)
          if (frame === undefined) return
          reader = newReader()
          channel.consumed(frame.frameBytes)
          rest = frame.rest
          onAnswer(answerFormat.decode(frame.body))
        }
      } catch (error) {
        if (!(error instanceof MalformedError)) throw error
        end('relay-malformed', error.message)
      }
    },
    onEnd: () => end('relay-lost', 'the relay ended the reservation'),
    onReset: (error) => end('relay-lost', error.message),
    onDrain: () => undefined,
  })
  channel.write(firstFrame(askFormat.encode({ kind: RELAY_KIND.reserve, version: RELAY_VERSION })))
  return () => {
    state.hasEnded = true
    cancel()
    channel.reset()
  }
}

/**
 * Asks a relay, on a fresh channel, for a way to the member with this key. Bytes may be sent at once; a refusal comes as
 * `onReset` with a `RelayError`.
 */
export function connectThrough(channel: ByteChannel, target: Uint8Array, timers: Timers): OutgoingCircuit {
  channel.write(
    firstFrame(askFormat.encode({ kind: RELAY_KIND.connect, version: RELAY_VERSION, target })),
    true,
  )
  return new OutgoingCircuit(channel, timers)
}

/** A way through a relay; made by `connectThrough`. */
export class OutgoingCircuit implements ByteChannel {
  readonly #channel: ByteChannel
  readonly #timers: Timers
  readonly #reader = newReader()
  #user: ChannelUser | undefined
  #isAnswered = false
  #cancel = (): void => undefined
  #at: Uint8Array | null = null

  constructor(channel: ByteChannel, timers: Timers) {
    this.#channel = channel
    this.#timers = timers
  }

  /** Address at which the relay sees the target; null until it answered, or when it cannot say. */
  get at(): Uint8Array | null {
    return this.#at
  }

  use(user: ChannelUser): void {
    const isFirst = this.#user === undefined
    this.#user = user
    if (this.#isAnswered) return this.#channel.use(user)
    if (!isFirst) return
    this.#cancel = this.#timers.after(CONNECT_MS, () =>
      this.#fail('relay-timeout', 'no answer through the relay in time'),
    )
    this.#channel.use({
      onData: (bytes) => this.#onData(bytes),
      onEnd: () => this.#fail('relay-target-refused', 'the relay ended the connection without an answer'),
      onReset: (error) => this.#fail('relay-lost', error.message),
      onDrain: () => this.#user?.onDrain(),
    })
  }

  write(bytes: Uint8Array, late?: boolean): boolean {
    return this.#channel.write(bytes, late)
  }

  end(): void {
    this.#channel.end()
  }

  reset(): void {
    this.#cancel()
    this.#channel.reset()
  }

  consumed(bytes: number): void {
    this.#channel.consumed(bytes)
  }

  #onData(bytes: Uint8Array): void {
    try {
      const frame = this.#reader.push(bytes)
      if (frame === undefined) return
      const message = answerFormat.decode(frame.body)
      if (message.kind === RELAY_KIND.refused) {
        const code = codeOf(message.code)
        return this.#fail(code, RELAY_REASONS[code].summary)
      }
      if (message.kind !== RELAY_KIND.connected)
        return this.#fail('relay-malformed', `an answer of kind ${message.kind} to a connection`)
      this.#cancel()
      this.#isAnswered = true
      this.#at = message.at
      this.#channel.consumed(frame.frameBytes)
      if (frame.rest.length > 0) this.#user?.onData(frame.rest)
      if (this.#user !== undefined) this.#channel.use(this.#user)
    } catch (error) {
      if (!(error instanceof MalformedError)) throw error
      this.#fail('relay-malformed', error.message)
    }
  }

  #fail(code: RelayCode, text: string): void {
    this.#cancel()
    this.#channel.reset()
    this.#user?.onReset(new RelayError(code, text))
  }
}

/** A connection somebody makes through a relay. */
export interface IncomingCircuit {
  /** Peer id the relay names; the handshake inside proves it, or not. */
  readonly source: string
  /** Address at which the relay sees it. */
  readonly at: Uint8Array | null
  readonly channel: ByteChannel
}

/** Reads who is there from a fresh channel a relay opened; what follows waits in `IncomingCircuit.channel`. */
export function readIncoming(
  channel: ByteChannel,
  timers: Timers,
  user: { onIncoming(circuit: IncomingCircuit): void; onFailure(error: Error): void },
): void {
  const reader = newReader()
  let waiting: Uint8Array[] = []
  let isRead = false
  const fail = (error: Error): void => {
    cancel()
    channel.reset()
    user.onFailure(error)
  }
  const cancel = timers.after(FIRST_FRAME_MS, () =>
    fail(new RelayError('relay-timeout', 'the relay said nothing in a channel it opened')),
  )
  channel.use({
    onData(bytes) {
      if (isRead) return void (waiting = keptFew(waiting, bytes))
      try {
        const frame = reader.push(bytes)
        if (frame === undefined) return
        const { source, at } = incomingFormat.decode(frame.body)
        isRead = true
        cancel()
        channel.consumed(frame.frameBytes)
        if (frame.rest.length > 0) waiting.push(frame.rest)
        const behind: ByteChannel = {
          use(next) {
            for (const held of waiting.splice(0)) next.onData(held)
            channel.use(next)
          },
          write: (data, late) => channel.write(data, late),
          end: () => channel.end(),
          reset: () => channel.reset(),
          consumed: (count) => channel.consumed(count),
        }
        user.onIncoming({ source: peerIdFromKey(source), at, channel: behind })
      } catch (error) {
        if (!(error instanceof MalformedError)) throw error
        fail(error)
      }
    },
    onEnd: () => {
      if (!isRead) fail(new RelayError('relay-malformed', 'the relay ended a channel without a frame'))
    },
    onReset: (error) => {
      if (!isRead) fail(error)
    },
    onDrain: () => undefined,
  })
}

function newReader(): FirstFrameReader {
  return new FirstFrameReader('Relay frame', RELAY_FRAME_BYTES_MAX)
}

/** A newer relay may name others. */
function codeOf(code: string): RelayCode {
  return isRelayCode(code) ? code : 'relay-target-refused'
}
