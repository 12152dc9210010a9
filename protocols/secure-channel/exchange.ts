import type { ConnectionEncrypter, MessageStream, StreamMessageEvent } from '@libp2p/interface'
import { concat } from '../common/bytes.ts'
import type { EmitEvent } from '../common/ports.ts'
import { suiteByName, type SuiteName } from '../noise-ik/suite.ts'
import type { PlainRecord, RecordReader, RecordWriter } from '../record/machine.ts'
import { FirstMessageGuard } from '../replay/machine.ts'
import { ChannelError } from './errors.ts'
import { asKithError, emitFailure } from './failures.ts'
import { sendBytes } from './frames.ts'
import { answerHandshake, closeGently, dialHandshake } from './handshake.ts'
import { EXCHANGE_REPLY_MAX_BYTES, EXCHANGE_REQUEST_MAX_BYTES, PENDING_HANDSHAKES_MAX } from './limits.ts'
import type { Party } from './machine.ts'
import { createParty, type IdentityInit } from './party.ts'
import { protocolId } from './wire.ts'

/** What either side of a join exchange needs. */
export interface ExchangeInit extends IdentityInit {
  readonly emit: EmitEvent
  /** Suite of the asking side; `aesgcm` by default. */
  readonly suite?: SuiteName
}

/**
 * Answers one request; `joinerKey` is the Ed25519 key the joiner proved to hold. A throw closes the exchange without a reply,
 * so refusals the joiner should read are replies.
 */
export type ExchangeHandler = (
  request: Uint8Array,
  joinerKey: Uint8Array,
  signal: AbortSignal,
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
  sendBytes(stream, concat(writer.seal('confirm', []), writer.seal('data', [request])))
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
 * The answering side: reads one request, hands it to `handler`, sends the reply and waits until the joiner has closed, so that
 * no reset overtakes the reply. Returns the joiner's Ed25519 key. @throws KithError, and whatever `handler` throws
 */
export async function serveExchange(
  stream: MessageStream,
  door: ExchangeDoor,
  handler: ExchangeHandler,
  signal: AbortSignal,
  onCaller: (id: string) => void = () => undefined,
): Promise<Uint8Array> {
  const { writer, reader, caller } = await answerHandshake(
    stream,
    door.party,
    {
      guard: door.guard,
      onCaller: ({ id }) => onCaller(id),
      admit: () => ({ muxer: null, credentials: new Uint8Array(0) }),
      maxPlaintextBytes: EXCHANGE_REQUEST_MAX_BYTES,
    },
    signal,
  )
  const request = await collect(stream, reader, ['confirm', 'data'], signal)
  const reply = await handler(request, caller.key, signal)
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
  sendBytes(stream, concat(writer.seal('data', [reply]), writer.seal('close', [])))
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

/**
 * The listening side of the join exchange as a connection encrypter: it serves the exchange and then ends the connection, which
 * so never becomes a libp2p connection. `secureInbound` therefore always rejects, with the code `exchange-done` when all went
 * well; `secureOutbound` refuses.
 */
export function joinDoor(init: ExchangeInit, handler: ExchangeHandler): () => ConnectionEncrypter {
  return () => {
    const door = exchangeDoor(init)
    let pending = 0
    return {
      protocol: protocolId(init.meshId, 'join'),
      async secureInbound(stream, options) {
        const signal = options?.signal ?? new AbortController().signal
        let caller: string | undefined
        pending++
        try {
          if (pending > PENDING_HANDSHAKES_MAX) {
            throw new ChannelError(
              'too-many-handshakes',
              `More than ${PENDING_HANDSHAKES_MAX} join exchanges are under way`,
            )
          }
          await serveExchange(stream, door, handler, signal, (id) => (caller = id))
          await closeGently(stream, signal)
        } catch (raw) {
          const error = asKithError(raw)
          emitFailure(init.emit, error, 'inbound', caller)
          throw error
        } finally {
          pending--
        }
        throw new ChannelError('exchange-done', 'The join exchange was served')
      },
      secureOutbound: () =>
        Promise.reject(
          new ChannelError('exchange-outbound', 'The join door does not dial; use dialExchange'),
        ),
    }
  }
}
