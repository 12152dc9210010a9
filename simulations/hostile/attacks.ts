import { randomBytes } from 'node:crypto'
import { header, MESSAGE_BYTES_MAX, MULTISTREAM_GREETING, SUITE_AESGCM } from './wire.ts'

/** What one hostile connection does. */
export interface Script {
  /** What it sends at once. */
  readonly bytes: () => Buffer
  /**
   * `hold` says nothing more until the other side closes; `drop` resets the connection itself; `pour` goes on sending
   * random bytes as fast as the socket takes them.
   */
  readonly afterwards: 'hold' | 'drop' | 'pour'
}

/** An attack: many connections of the same kind at once, each replaced when it ends. */
export interface Attack {
  readonly about: string
  readonly connections: number
  /** @param recording openings of real members, oldest first; empty when none were recorded */
  readonly script: (recording: readonly Buffer[]) => Script
}

/** About as long as a member's: certificates and a post-quantum key. */
const MESSAGE_BYTES = 2200
const EMPTY = Buffer.alloc(0)

const always = (bytes: () => Buffer, afterwards: Script['afterwards']): Attack['script'] => {
  const script: Script = { bytes, afterwards }
  return () => script
}

/** A first message with the right form and noise inside: it costs the other side its key agreements. */
function forged(purpose: 'member' | 'join', sizeBytes: number): Buffer {
  const message = randomBytes(sizeBytes)
  message[0] = SUITE_AESGCM
  return Buffer.concat([header(purpose, sizeBytes), message])
}

/** The recorded openings, one after another, over and over. */
function inTurn(recording: readonly Buffer[]): () => Buffer {
  if (recording.length === 0) throw new Error('this attack needs --recording FILE')
  let next = 0
  return () => recording[next++ % recording.length] ?? EMPTY
}

/** The attacks by name. */
export const ATTACKS: Readonly<Record<string, Attack>> = {
  'connect-drop': {
    about: 'opens and resets connections as fast as it can',
    connections: 64,
    script: always(() => EMPTY, 'drop'),
  },
  silence: {
    about: 'connects and says nothing',
    connections: 1000,
    script: always(() => EMPTY, 'hold'),
  },
  'half-opening': {
    about: 'sends the first byte and says nothing more',
    connections: 1000,
    script: always(() => header('member', 0).subarray(0, 1), 'hold'),
  },
  'half-message': {
    about: 'sends half of a first message and says nothing more',
    connections: 1000,
    script: always(() => forged('member', MESSAGE_BYTES).subarray(0, MESSAGE_BYTES / 2), 'hold'),
  },
  garbage: {
    about: 'sends random bytes',
    connections: 64,
    script: always(() => randomBytes(1024), 'hold'),
  },
  multistream: {
    about: 'speaks the negotiation of libp2p',
    connections: 64,
    script: always(() => MULTISTREAM_GREETING, 'hold'),
  },
  forged: {
    about: 'sends first messages of the right form with random bytes inside',
    connections: 64,
    script: always(() => forged('member', MESSAGE_BYTES), 'hold'),
  },
  'forged-join': {
    about: 'the same as somebody who wants to join',
    connections: 64,
    script: always(() => forged('join', MESSAGE_BYTES), 'hold'),
  },
  giant: {
    about: 'announces a message of 64 KiB and sends without end',
    connections: 64,
    script: always(() => header('member', 0xffff), 'pour'),
  },
  'long-tail': {
    about: 'sends the longest message allowed, then without end',
    connections: 64,
    script: always(() => forged('member', MESSAGE_BYTES_MAX), 'pour'),
  },
  replay: {
    about: 'plays recorded first messages of real members, over and over',
    connections: 64,
    script: (recording) => ({ bytes: inTurn(recording), afterwards: 'hold' }),
  },
  'no-confirm': {
    about: 'plays recorded first messages once, reads the answer and never confirms',
    connections: 1000,
    script: (recording) => ({ bytes: inTurn(recording), afterwards: 'hold' }),
  },
}
