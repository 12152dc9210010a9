import { concat, equalBytes } from '../common/bytes.ts'
import type { Clock, Random } from '../common/ports.ts'
import { HandshakeState, type HandshakeResult } from '../noise-ik/machine.ts'
import { IKhfs } from '../noise-ik/pattern.ts'
import type { CipherSuite, KeyPair } from '../noise-ik/suite.ts'
import { ChannelError } from './errors.ts'
import {
  encodePrologue,
  HELLO,
  protocolId,
  WELCOME,
  WELCOME_STATUS,
  type Hello,
  type Purpose,
  type Welcome,
} from './wire.ts'

/** One side of a handshake: who we are and what we need. */
export interface Party {
  readonly purpose: Purpose
  /** 32 bytes. */
  readonly meshId: Uint8Array
  /** Our Ed25519 key. */
  readonly publicKey: Uint8Array
  /** The X25519 pair of the same seed. */
  readonly s: KeyPair
  /** Ed25519 to X25519 public key. @throws NoiseError */
  readonly convert: (publicKey: Uint8Array) => Uint8Array
  readonly suites: ReadonlyMap<number, CipherSuite>
  readonly clock: Clock
  readonly random: Random
}

/** What a finished handshake leaves: keys, and what later rotations go on from. */
export interface HandshakeKeys extends HandshakeResult {
  /** The other side's static X25519 key. */
  readonly remoteStatic: Uint8Array
}

/** The dialling side: `message` goes out, `finish` takes the answer. */
export interface Initiator {
  readonly message: Uint8Array
  /**
   * Reads message 2. @throws NoiseError, MalformedError, ChannelError `clock-skew` (with the offset), `handshake-refused`,
   * `muxer-not-offered`.
   */
  finish(message: Uint8Array): { readonly welcome: Welcome; readonly keys: HandshakeKeys }
}

/** A first message that authenticated; the answer is still open. */
export interface Responder {
  readonly suite: CipherSuite
  readonly hello: Hello
  /** The initiator's ephemeral key, which no honest initiator uses twice. */
  readonly ephemeral: Uint8Array
  /** Message 2 of a session, and its keys. */
  accept(welcome: { readonly muxer: string | null; readonly credentials: Uint8Array }): {
    readonly message: Uint8Array
    readonly keys: HandshakeKeys
  }
  /** Message 2 that tells our time and nothing else. */
  refuseClock(): Uint8Array
}

/** Makes message 1: suite u8 | Noise message. @throws NoiseError when the responder's key is unusable. */
export function initiate(
  party: Party,
  suite: CipherSuite,
  responderKey: Uint8Array,
  offer: { readonly muxers: readonly string[]; readonly credentials: Uint8Array },
): Initiator {
  const remoteStatic = party.convert(responderKey)
  const noise = new HandshakeState({
    suite,
    pattern: IKhfs,
    initiator: true,
    prologue: prologueOf(party, suite, responderKey),
    s: party.s,
    rs: remoteStatic,
    ephemeralSecret: () => party.random.bytes(32),
  })
  const sentAt = Math.floor(party.clock.now())
  const hello = HELLO.encode({
    version: 1,
    key: party.publicKey,
    timeMs: sentAt,
    muxers: [...offer.muxers],
    credentials: offer.credentials,
  })
  return {
    message: concat(Uint8Array.of(suite.id), noise.writeMessage(hello)),
    finish(message) {
      const welcome = WELCOME.decode(noise.readMessage(message))
      checkWelcome(welcome, offer.muxers, Math.floor(party.clock.now()))
      return { welcome, keys: { ...noise.finish(), remoteStatic } }
    },
  }
}

function checkWelcome(welcome: Welcome, offered: readonly string[], now: number): void {
  switch (welcome.status) {
    case WELCOME_STATUS.accepted:
      break
    case WELCOME_STATUS.clockSkew: {
      const offsetMs = welcome.timeMs - now
      const text = `The clocks differ by ${Math.round(Math.abs(offsetMs) / 1000)} s; ours is ${offsetMs > 0 ? 'behind' : 'ahead'}`
      throw new ChannelError('clock-skew', text, { offsetMs })
    }
    default:
      throw new ChannelError('handshake-refused', `The other side refused with status ${welcome.status}`)
  }
  if (welcome.muxer !== null && !offered.includes(welcome.muxer)) {
    throw new ChannelError(
      'muxer-not-offered',
      `The other side chose the muxer "${welcome.muxer}", which was not offered`,
    )
  }
}

/** Reads message 1. Whatever it throws, the sender gets no byte. @throws NoiseError, MalformedError, ChannelError */
export function respond(party: Party, message: Uint8Array): Responder {
  const suite = party.suites.get(message[0] ?? 0)
  if (suite === undefined)
    throw new ChannelError('suite-unsupported', `Cannot answer in suite ${message[0] ?? 'none'}`)
  const noise = new HandshakeState({
    suite,
    pattern: IKhfs,
    initiator: false,
    prologue: prologueOf(party, suite, party.publicKey),
    s: party.s,
    ephemeralSecret: () => party.random.bytes(32),
  })
  const hello = HELLO.decode(noise.readMessage(message.subarray(1)))
  const { remoteStatic, remoteEphemeral } = noise
  if (remoteStatic === undefined || remoteEphemeral === undefined)
    throw new Error('message 1 left keys unknown')
  // Noise proved the X25519 key only; the identity is the Ed25519 key, so the claim must convert to what was proved.
  if (!equalBytes(party.convert(hello.key), remoteStatic)) {
    throw new ChannelError('identity-mismatch', 'The claimed identity does not belong to the proved key')
  }
  const answer = (welcome: Omit<Welcome, 'version' | 'timeMs'>): Uint8Array =>
    noise.writeMessage(WELCOME.encode({ version: 1, timeMs: Math.floor(party.clock.now()), ...welcome }))
  return {
    suite,
    hello,
    ephemeral: remoteEphemeral,
    accept({ muxer, credentials }) {
      const bytes = answer({ status: WELCOME_STATUS.accepted, muxer, credentials })
      return { message: bytes, keys: { ...noise.finish(), remoteStatic } }
    },
    refuseClock: () =>
      answer({ status: WELCOME_STATUS.clockSkew, muxer: null, credentials: new Uint8Array(0) }),
  }
}

function prologueOf(party: Party, suite: CipherSuite, responderKey: Uint8Array): Uint8Array {
  return encodePrologue({
    protocol: protocolId(party.meshId, party.purpose),
    suite: suite.id,
    purpose: party.purpose,
    meshId: party.meshId,
    responderKey,
  })
}
