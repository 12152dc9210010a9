import { equalBytes } from '../common/bytes.ts'
import { MalformedError } from '../common/errors.ts'
import { firstFrame, FirstFrameReader } from '../common/first-frame.ts'
import type { Timers } from '../common/ports.ts'
import { keptFew, type ByteChannel, type ChannelUser } from '../mux/channel.ts'
import { isTunnelReason, TunnelError, type TunnelReason } from './errors.ts'
import { ACCEPT_DELAY_MS, OPEN_BYTES_MAX, OPEN_TIMEOUT_MS, REFUSAL_CHARACTERS_MAX } from './limits.ts'
import { OpenedFormat, openFrame, readOpen } from './wire.ts'

/**
 * Consumer's side: asks for a service over a fresh channel. Bytes may be sent at once, behind the request; a refusal comes as
 * `onReset` with a `TunnelError` that has the provider's reason.
 */
export function requestService(
  channel: ByteChannel,
  service: string,
  timers: Timers,
  onAccepted: () => void = () => undefined,
): ByteChannel {
  channel.write(openFrame(service), true)
  return new RequestedChannel(channel, service, timers, onAccepted)
}

class RequestedChannel implements ByteChannel {
  readonly #channel: ByteChannel
  readonly #service: string
  readonly #timers: Timers
  readonly #onAccepted: () => void
  #cancel = (): void => undefined

  constructor(channel: ByteChannel, service: string, timers: Timers, onAccepted: () => void) {
    this.#channel = channel
    this.#service = service
    this.#timers = timers
    this.#onAccepted = onAccepted
  }

  use(user: ChannelUser): void {
    const fail = (code: TunnelReason, text: string, cause?: unknown): void => {
      this.#cancel()
      this.#channel.reset()
      user.onReset(new TunnelError(code, text, { cause }))
    }
    this.#cancel = this.#timers.after(OPEN_TIMEOUT_MS, () =>
      fail(
        'stream-failed',
        `The provider of "${this.#service}" did not answer within ${OPEN_TIMEOUT_MS / 1000} s`,
      ),
    )
    const reader = new FirstFrameReader('Tunnel frame', OPEN_BYTES_MAX)
    this.#channel.use({
      onData: (bytes) => {
        try {
          const read = reader.push(bytes)
          if (read === undefined) return
          if (!equalBytes(read.body, YES)) {
            const opened = OpenedFormat.decode(read.body)
            if (!opened.ok)
              return fail(isTunnelReason(opened.code) ? opened.code : 'stream-failed', opened.text)
          }
          this.#cancel()
          this.#onAccepted()
          this.#channel.consumed(read.frameBytes)
          if (read.rest.length > 0) user.onData(read.rest)
          this.#channel.use(user) // tells an end, where there was one
        } catch (cause) {
          if (!(cause instanceof MalformedError)) throw cause
          fail('stream-failed', `"${this.#service}": ${cause.message}`, cause)
        }
      },
      onEnd: () => fail('stream-failed', `"${this.#service}": the provider ended without an answer`),
      onReset: (cause) => fail('stream-failed', `"${this.#service}": ${cause.message}`, cause),
      onDrain: () => user.onDrain(),
    })
  }

  write(bytes: Uint8Array): boolean {
    return this.#channel.write(bytes)
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
}

/** A request for a service, waiting for the provider's decision. What follows it waits too, within the channel's window. */
export interface ServiceRequest {
  readonly service: string
  /** Answers yes; the returned channel carries the service's bytes. */
  accept(): ByteChannel
  /** Answers no and closes. */
  refuse(code: TunnelReason, text: string): void
}

/** What the provider is told about a channel before it decided. */
export interface RequestUser {
  onRequest(request: ServiceRequest): void
  /** It is no request, none came in time, or the consumer left before the decision. */
  onFailure(error: Error): void
}

/** Provider's side: reads the request from a fresh channel. */
export function readServiceRequest(channel: ByteChannel, timers: Timers, user: RequestUser): void {
  const reader = new FirstFrameReader('Tunnel frame', OPEN_BYTES_MAX)
  let waiting: Uint8Array[] = []
  let isRead = false
  const fail = (error: Error): void => {
    cancel()
    channel.reset()
    user.onFailure(error)
  }
  const cancel = timers.after(OPEN_TIMEOUT_MS, () => fail(new Error('no OPEN came')))
  const accept = (): ByteChannel => new AcceptedChannel(channel, timers, () => waiting.splice(0))
  channel.use({
    onData: (bytes) => {
      if (isRead) return void (waiting = keptFew(waiting, bytes))
      try {
        const read = reader.push(bytes)
        if (read === undefined) return
        isRead = true
        cancel()
        const service = readOpen(read.body)
        channel.consumed(read.frameBytes)
        if (read.rest.length > 0) waiting.push(read.rest)
        user.onRequest({ service, accept, refuse: (code, text) => refuse(channel, timers, code, text) })
      } catch (error) {
        if (!(error instanceof MalformedError)) throw error
        fail(error)
      }
    },
    onEnd: () => {
      if (!isRead) fail(new MalformedError('the channel ended before its OPEN was whole'))
    },
    onReset: (error) => {
      cancel()
      user.onFailure(error)
    },
    onDrain: () => undefined,
  })
}

function refuse(channel: ByteChannel, timers: Timers, code: TunnelReason, text: string): void {
  channel.write(
    firstFrame(OpenedFormat.encode({ ok: false, code, text: text.slice(0, REFUSAL_CHARACTERS_MAX) })),
  )
  channel.end()
  // What still comes is neither kept nor allowed again, and a consumer that stays is cut.
  const cancel = timers.after(OPEN_TIMEOUT_MS, () => channel.reset())
  channel.use({ onData: () => undefined, onEnd: cancel, onReset: cancel, onDrain: () => undefined })
}

const YES = OpenedFormat.encode({ ok: true, code: '', text: '' })
const ACCEPTED = firstFrame(YES)

/**
 * An accepted channel. Its answer leaves together with the first bytes, which follow at once in most protocols; where they do
 * not, after a moment of its own.
 */
class AcceptedChannel implements ByteChannel {
  readonly #channel: ByteChannel
  readonly #takeWaiting: () => Uint8Array[]
  readonly #cancel: () => void
  #isAnswered = false

  constructor(channel: ByteChannel, timers: Timers, takeWaiting: () => Uint8Array[]) {
    this.#channel = channel
    this.#takeWaiting = takeWaiting
    this.#cancel = timers.after(ACCEPT_DELAY_MS, () => this.#answer())
  }

  use(user: ChannelUser): void {
    for (const bytes of this.#takeWaiting()) user.onData(bytes)
    this.#channel.use(user) // says an end again, if there was one
  }

  write(bytes: Uint8Array): boolean {
    this.#answer()
    return this.#channel.write(bytes)
  }

  end(): void {
    this.#answer()
    this.#channel.end()
  }

  reset(): void {
    this.#isAnswered = true
    this.#cancel()
    this.#channel.reset()
  }

  consumed(bytes: number): void {
    this.#channel.consumed(bytes)
  }

  #answer(): void {
    if (this.#isAnswered) return
    this.#isAnswered = true
    this.#cancel()
    this.#channel.write(ACCEPTED)
  }
}
