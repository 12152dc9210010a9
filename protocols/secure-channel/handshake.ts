import type { MessageStream } from '@libp2p/interface'
import { toHex } from '../common/bytes.ts'
import { peerIdFromKey } from '../common/peer-id.ts'
import type { CipherSuite } from '../noise-ik/suite.ts'
import { wipe } from '../noise-ik/wipe.ts'
import { RecordReader } from '../record/reader.ts'
import { RecordWriter } from '../record/writer.ts'
import type { FirstMessageGuard } from '../replay/machine.ts'
import { ChannelError } from './errors.ts'
import { readFrame, sendFrame } from './frames.ts'
import { initiate, respond, type HandshakeKeys, type Party } from './machine.ts'
import { encodeOpening, type Hello, type Welcome } from './wire.ts'

/** What a finished handshake leaves for the records. */
export interface Established {
  readonly writer: RecordWriter
  readonly reader: RecordReader
  readonly suite: CipherSuite
  /** What the handshake left; rotation goes on from it. */
  readonly keys: HandshakeKeys
}

/** Bounds a reader to what the purpose of the channel allows; the default is the record layer's own limit. */
interface ReaderLimit {
  readonly maxPlaintextBytes?: number
}

/** What the dialling side says. */
export interface DialOffer extends ReaderLimit {
  readonly suite: CipherSuite
  readonly responderKey: Uint8Array
  readonly muxers: readonly string[]
  readonly credentials: Uint8Array
}

/** Runs the dialling side over `stream`. @throws KithError; nothing was sent under the new keys then. */
export async function dialHandshake(
  stream: MessageStream,
  party: Party,
  offer: DialOffer,
  signal: AbortSignal | undefined,
): Promise<Established & { readonly welcome: Welcome }> {
  const initiator = initiate(party, offer.suite, offer.responderKey, offer)
  const answer = readFrame(stream, signal)
  answer.catch(() => undefined) // awaited below; a failing send must not leave it unhandled
  sendFrame(stream, initiator.message, encodeOpening(party.purpose))
  const { welcome, keys } = initiator.finish(await answer)
  return { ...established(offer.suite, keys, true, offer.maxPlaintextBytes), welcome }
}

/** Who dialled, once message 1 authenticated. */
export interface Caller {
  /** Ed25519 key. */
  readonly key: Uint8Array
  readonly id: string
  readonly hello: Hello
}

/** How the answering side decides. */
export interface AnswerRules extends ReaderLimit {
  readonly guard: FirstMessageGuard
  /** Throws to stay silent; otherwise says what goes into message 2. */
  readonly admit: (caller: Caller) => { readonly muxer: string | null; readonly credentials: Uint8Array }
  /** Told as soon as the caller is known, for the events of later failures. */
  readonly onCaller: (caller: Caller) => void
}

/**
 * Runs the answering side over `stream`, whose first message came already. A caller that fails anywhere gets no byte; the only refusal that is answered is
 * `clock-skew`, and only to a caller that was admitted. @throws KithError
 */
export async function answerHandshake(
  stream: MessageStream,
  party: Party,
  message1: Uint8Array,
  rules: AnswerRules,
  signal: AbortSignal | undefined,
): Promise<Established & { readonly caller: Caller; readonly muxer: string | null }> {
  const responder = respond(party, message1)
  const { hello, suite } = responder
  const caller: Caller = { key: hello.key, id: peerIdFromKey(hello.key), hello }
  rules.onCaller(caller)
  const answer = rules.admit(caller)
  const first = { peer: caller.id, ephemeral: toHex(responder.ephemeral), timeMs: hello.timeMs }
  const verdict = rules.guard.admit(first, party.clock.now())
  if (!verdict.ok) {
    if (verdict.answer) sendFrame(stream, responder.refuseClock())
    const text = `Message 1 of ${caller.id} is ${Math.round(verdict.offsetMs / 1000)} s off our clock`
    // The other side needs time to read the refusal before libp2p resets the connection.
    if (verdict.answer) await closeGently(stream, signal)
    throw new ChannelError(verdict.code, text, { offsetMs: verdict.offsetMs })
  }
  const { message, keys } = responder.accept(answer)
  sendFrame(stream, message)
  return { ...established(suite, keys, false, rules.maxPlaintextBytes), caller, muxer: answer.muxer }
}

/** Closes after what was sent has left; a reset by libp2p afterwards no longer overtakes it. Never rejects. */
export async function closeGently(stream: MessageStream, signal: AbortSignal | undefined): Promise<void> {
  try {
    await stream.close(signal === undefined ? {} : { signal })
  } catch (error) {
    stream.abort(error instanceof Error ? error : new Error(String(error)))
  }
}

function established(
  suite: CipherSuite,
  keys: HandshakeKeys,
  initiator: boolean,
  maxPlaintextBytes?: number,
): Established {
  const [writeKey, readKey] = initiator
    ? [keys.initiatorKey, keys.responderKey]
    : [keys.responderKey, keys.initiatorKey]
  const writer = new RecordWriter(suite.cipher(writeKey), 0, (size) => Buffer.allocUnsafe(size))
  const reader = new RecordReader(suite.cipher(readKey), 0, maxPlaintextBytes)
  wipe(writeKey, readKey) // the ciphers hold copies of their own
  return { suite, keys, writer, reader }
}
