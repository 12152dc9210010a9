import type { MessageStream, StreamMessageEvent } from '@libp2p/interface'
import { concat } from '../common/bytes.ts'
import type { EmitEvent } from '../common/ports.ts'
import { suiteByName, type SuiteName } from '../noise-ik/suite.ts'
import type { PlainRecord, RecordReader } from '../record/reader.ts'
import type { RecordWriter } from '../record/writer.ts'
import { FirstMessageGuard } from '../replay/machine.ts'
import { ChannelError } from './errors.ts'
import { asKithError, emitFailure } from './failures.ts'
import { sendBytes } from './frames.ts'
import { answerHandshake, closeGently, dialHandshake } from './handshake.ts'
import { EXCHANGE_REPLY_MAX_BYTES, EXCHANGE_REQUEST_MAX_BYTES, PENDING_JOINS_MAX } from './limits.ts'
import type { Party } from './machine.ts'
import { createParty, type IdentityInit } from './party.ts'

/** What either side of a join exchange needs. */
export interface ExchangeInit extends IdentityInit {
  readonly emit: EmitEvent
  /** Suite of the asking side; `aesgcm` by default. */
  readonly suite?: SuiteName
}

/**
 * Answers one request; `joinerKey` is the Ed25519 key the joiner proved to hold, `from` its address. A throw closes the exchange without a reply,
 * so refusals the joiner should read are replies.
 */
export type ExchangeHandler = (
  request: Uint8Array,
  joinerKey: Uint8Array,
  signal: AbortSignal,
  from: string | undefined,
) => Promise<Uint8Array>

/**
 * The joiner's side: one request, one reply, under the join prologue of the node with `responderKey` (Ed25519).
 * The stream is left open for the caller to close. @throws KithError
 */
export async function requestOverChannel(
  stream: MessageStream,
  init: ExchangeInit,
  responderKey: Uint8Array,
  request: Uint8Array,
  signal: AbortSignal,
): Promise<Uint8Array> {
  if (request.length > EXCHANGE_REQUEST_MAX_BYTES) throw new Error(`join request of ${request.length} bytes`)
  const { writer, reader } = await dialHandshake(
    stream,
    createParty(init, 'join'),
    {
      suite: suiteByName(init.suite ?? 'aesgcm'),
      responderKey,
      muxers: [],
      credentials: new Uint8Array(0),
      maxPlaintextBytes: EXCHANGE_REPLY_MAX_BYTES,
    },
    signal,
  )
  const reply = collect(stream, reader, ['data', 'close'], signal)
  reply.catch(() => undefined) // awaited below; a failing send must not leave it unhandled
  sendBytes(stream, concat(...writer.seal('confirm', []), ...writer.seal('data', [request])))
  return reply
}

/** The answering side's memory, shared by all exchanges of a door. */
export interface ExchangeDoor {
  readonly party: Party
  readonly guard: FirstMessageGuard
}

/** A door for `serveExchange`. */
export function exchangeDoor(init: IdentityInit): ExchangeDoor {
  return { party: createParty(init, 'join'), guard: new FirstMessageGuard() }
}

/**
 * The answering side, whose first message came already: reads one request, hands it to `handler`, sends the reply and waits until the joiner has closed, so that
 * no reset overtakes the reply. Returns the joiner's Ed25519 key. @throws KithError, and whatever `handler` throws
 */
export async function serveExchange(
  stream: MessageStream,
  door: ExchangeDoor,
  message1: Uint8Array,
  handler: ExchangeHandler,
  signal: AbortSignal,
  {
    onCaller = () => undefined,
    onRequest,
    from,
  }: {
    onCaller?: (id: string) => void
    onRequest?: (() => void) | undefined
    from?: string | undefined
  } = {},
): Promise<Uint8Array> {
  const { writer, reader, caller } = await answerHandshake(
    stream,
    door.party,
    message1,
    {
      guard: door.guard,
      onCaller: ({ id }) => onCaller(id),
      admit: () => ({ muxer: null, credentials: new Uint8Array(0) }),
      maxPlaintextBytes: EXCHANGE_REQUEST_MAX_BYTES,
    },
    signal,
  )
  const request = await collect(stream, reader, ['confirm', 'data'], signal)
  onRequest?.()
  const reply = await handler(request, caller.key, signal, from)
  await sendReply(stream, writer, reply, signal)
  return caller.key
}

async function sendReply(
  stream: MessageStream,
  writer: RecordWriter,
  reply: Uint8Array,
  signal: AbortSignal,
): Promise<void> {
  if (reply.length > EXCHANGE_REPLY_MAX_BYTES) throw new Error(`join reply of ${reply.length} bytes`)
  const closed = new Promise<void>((resolve) => {
    stream.addEventListener('close', () => resolve())
    stream.addEventListener('remoteCloseWrite', () => resolve())
    signal.addEventListener('abort', () => resolve())
  })
  sendBytes(stream, concat(...writer.seal('data', [reply]), ...writer.seal('close', [])))
  await closed
}

/**
 * Waits for records of exactly the types `expected`, in that order and nothing behind them, and gives the contents of the
 * `data` record. @throws RecordError, ChannelError
 */
function collect(
  stream: MessageStream,
  reader: RecordReader,
  expected: readonly PlainRecord['type'][],
  signal: AbortSignal,
): Promise<Uint8Array> {
  return new Promise((resolve, reject) => {
    let got = 0
    let data: Uint8Array = new Uint8Array(0)
    const settle = (finish: () => void): void => {
      stream.removeEventListener('message', onMessage)
      stream.removeEventListener('close', onClose)
      signal.removeEventListener('abort', onAbort)
      finish()
    }
    const onRecord = (record: PlainRecord): void => {
      if (record.type !== expected[got])
        throw new ChannelError('exchange-protocol', `Unexpected ${record.type} record`)
      got++
      if (record.type === 'data') data = concat(...record.parts)
    }
    const onMessage = (event: StreamMessageEvent): void => {
      try {
        reader.push(event.data.subarray(), onRecord)
      } catch (error) {
        return settle(() => reject(error))
      }
      if (got === expected.length) settle(() => resolve(data))
    }
    const onClose = (): void => {
      settle(() =>
        reject(new ChannelError('handshake-closed', 'The other side closed the join exchange early')),
      )
    }
    const onAbort = (): void => {
      settle(() =>
        reject(
          new ChannelError('handshake-timeout', 'The join exchange took too long', { cause: signal.reason }),
        ),
      )
    }
    stream.addEventListener('message', onMessage)
    stream.addEventListener('close', onClose)
    signal.addEventListener('abort', onAbort)
    if (signal.aborted) onAbort()
    else if (stream.status !== 'open') onClose()
  })
}

/** Serves joiners whose connection begins with the opening of a join. */
export class JoinDoor {
  readonly #init: ExchangeInit
  readonly #handler: ExchangeHandler
  readonly #door: ExchangeDoor
  #pending = 0

  constructor(init: ExchangeInit, handler: ExchangeHandler) {
    this.#init = init
    this.#handler = handler
    this.#door = exchangeDoor(init)
  }

  /**
   * Serves one exchange and ends the connection, which so never becomes a libp2p connection. Failures are told as events and
   * not thrown: nobody waits for them.
   */
  async serve(
    stream: MessageStream,
    message1: Uint8Array,
    options: { readonly signal: AbortSignal; readonly from?: string; readonly onRequest?: () => void },
  ): Promise<void> {
    let peer: string | undefined
    this.#pending++
    try {
      if (this.#pending > PENDING_JOINS_MAX) {
        throw new ChannelError(
          'too-many-handshakes',
          `More than ${PENDING_JOINS_MAX} join exchanges are under way`,
        )
      }
      await serveExchange(stream, this.#door, message1, this.#handler, options.signal, {
        onCaller: (id) => (peer = id),
        onRequest: options.onRequest,
        from: options.from,
      })
      await closeGently(stream, options.signal)
    } catch (caught) {
      const error = asKithError(caught)
      emitFailure(this.#init.emit, error, { direction: 'inbound', peer, from: options.from })
      stream.abort(error)
    } finally {
      this.#pending--
    }
  }
}
