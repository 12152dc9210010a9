import { generateKeyPairFromSeed } from '@libp2p/crypto/keys'
import type { ConnectionEncrypter, MessageStream, MultiaddrConnection } from '@libp2p/interface'
import { select } from '@libp2p/multistream-select'
import { tcp } from '@libp2p/tcp'
import { multiaddrConnectionPair } from '@libp2p/utils'
import { yamux } from '@libp2p/yamux'
import { createLibp2p, type Libp2p } from 'libp2p'
import type { Multiaddr } from '@multiformats/multiaddr'
import type { ExecutionContext } from 'ava'
import { randomBytes } from 'node:crypto'
import { silentLogger } from '../../../node/transport/silent-logger.ts'
import { systemTimers } from '../../../node/system-ports.ts'
import type { EventInput } from '../../../protocols/common/ports.ts'
import { secureChannel } from '../../../protocols/secure-channel/service.ts'
import type { SecureChannelInit } from '../../../protocols/secure-channel/upgrade.ts'
import { SessionRegistry } from '../../../protocols/secure-channel/sessions.ts'

/** The mesh of these tests. */
export const MESH_ID = new Uint8Array(32).fill(0xab)

/** A channel set-up that remembers its events and whose clock can be moved. */
export interface Side {
  readonly seed: Uint8Array
  readonly events: EventInput[]
  readonly clock: { offsetMs: number; now: () => number }
  readonly init: SecureChannelInit
}

/** A fresh identity with accepting defaults. */
export function side(overrides: Partial<SecureChannelInit> = {}): Side {
  const events: EventInput[] = []
  const clock = { offsetMs: 0, now: (): number => Date.now() + clock.offsetMs }
  const seed = new Uint8Array(randomBytes(32))
  const init: SecureChannelInit = {
    meshId: MESH_ID,
    seed,
    clock,
    random: { bytes: (length) => new Uint8Array(randomBytes(length)) },
    emit: (event) => events.push(event),
    defer: queueMicrotask,
    deferLate: queueMicrotask,
    timers: systemTimers,
    credentials: () => new TextEncoder().encode('certificate'),
    checkPeer: () => ({ ok: true }),
    sessions: new SessionRegistry(),
    ...overrides,
  }
  return { seed, events, clock, init }
}

/** A real libp2p node on loopback TCP with the channel of `of`, stopped after the test. */
export async function node(
  t: ExecutionContext,
  of: Side,
  encrypters: ((components: never) => ConnectionEncrypter)[] = [secureChannel(of.init)],
): Promise<Libp2p> {
  const libp2p = await createLibp2p({
    privateKey: await generateKeyPairFromSeed('Ed25519', of.seed),
    addresses: { listen: ['/ip4/127.0.0.1/tcp/0'] },
    transports: [tcp()],
    connectionEncrypters: encrypters as ((components: unknown) => ConnectionEncrypter)[],
    // The dialler may open streams before the answerer's libp2p listens for them; more than 10 would abort the connection.
    streamMuxers: [yamux({ maxEarlyStreams: 200, streamOptions: { maxStreamWindowSize: 2 * 1024 * 1024 } })],
    connectionMonitor: { enabled: false },
    connectionManager: { inboundConnectionThreshold: 1000, maxIncomingPendingConnections: 100 },
  })
  t.teardown(() => libp2p.stop())
  return libp2p
}

/** Reason codes of the failed handshakes and ended sessions in `events`. */
export function reasons(of: Side): string[] {
  return of.events.filter((event) => event.kind !== 'handshake.done').map((event) => event.reason ?? '')
}

/** Waits until `done` or for at most five seconds, by turns of the event loop. */
export async function until(done: () => boolean, what: string): Promise<void> {
  const end = Date.now() + 5000
  while (!done()) {
    if (Date.now() > end) throw new Error(`did not happen in 5 s: ${what}`)
    await new Promise((resolve) => setImmediate(resolve))
  }
}

/** Two connected raw streams in memory, the dialling end first. */
export function rawPair(): [MessageStream, MessageStream] {
  return multiaddrConnectionPair({ delay: 0 })
}

/** The components libp2p hands to an encrypter, with the muxers named. */
export function components(): never {
  const muxers = new Map([['/yamux/1.0.0', yamux()()]])
  return { upgrader: { getStreamMuxers: () => muxers } } as never
}

/**
 * Dials over real TCP and runs `secure` after the protocol negotiation, without a libp2p node of its own (libp2p joins parallel
 * dials of one peer into one). The raw connection is returned beside the result and closed after the test.
 */
export async function dialRaw<T>(
  t: ExecutionContext,
  address: Multiaddr,
  protocol: string,
  secure: (raw: MessageStream) => Promise<T>,
): Promise<{ raw: MessageStream; result: T }> {
  const signal = AbortSignal.timeout(8000)
  const upgrader = {
    upgradeOutbound: async (raw: MultiaddrConnection) => {
      t.teardown(() => raw.abort(new Error('test over')))
      await select(raw, protocol, { signal })
      return { raw, result: await secure(raw) }
    },
  }
  const dialled: unknown = await tcp()({ logger: silentLogger() }).dial(address, {
    signal,
    upgrader: upgrader as never,
  })
  return dialled as { raw: MessageStream; result: T }
}
