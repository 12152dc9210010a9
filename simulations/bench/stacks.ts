import { noise } from '@chainsafe/libp2p-noise'
import { generateKeyPairFromSeed } from '@libp2p/crypto/keys'
import type { ConnectionEncrypter, MessageStream, PeerId, Stream } from '@libp2p/interface'
import { peerIdFromPrivateKey } from '@libp2p/peer-id'
import { tcp } from '@libp2p/tcp'
import { yamux } from '@libp2p/yamux'
import { multiaddr } from '@multiformats/multiaddr'
import { createLibp2p, type Libp2p } from 'libp2p'
import { once } from 'node:events'
import { connect, createServer, type AddressInfo, type Socket } from 'node:net'
import { steadyClock, systemClock, systemRandom, systemTimers } from '../../node/system-ports.ts'
import { startLibp2p } from '../../node/transport/libp2p.ts'
import { ReadyConnections } from '../../node/transport/ready-connections.ts'
import type { MeshNode } from '../../node/transport/mesh-node.ts'
import { id8Of } from '../../protocols/admission/root.ts'
import type { EmitEvent } from '../../protocols/common/ports.ts'
import type { ByteChannel } from '../../protocols/mux/channel.ts'
import { MuxRegistry } from '../../protocols/mux/registry.ts'
import { JoinDoor } from '../../protocols/secure-channel/exchange.ts'
import { secureChannel } from '../../protocols/secure-channel/service.ts'
import { SessionRegistry } from '../../protocols/secure-channel/sessions.ts'
import { ChannelUpgrade } from '../../protocols/secure-channel/upgrade.ts'
import type { StackName } from './channel-protocol.ts'

/* The stacks that carry bytes between two processes, all behind one face. What our own transport needs stands here alone. */

/** One open stream of bytes. */
export interface Link {
  /** False when the other side falls behind: wait for `drained` then. */
  readonly send: (bytes: Uint8Array) => boolean
  /** Resolves when there is room again; at once when there is. */
  readonly drained: () => Promise<void>
}

/** Called with what arrives on a link. */
export type Receive = (link: Link, bytes: Uint8Array) => void

/** A way to carry bytes. */
export interface Stack {
  /** Accepts links; gives the address to dial. */
  readonly listen: (receive: Receive) => Promise<string>
  readonly dial: (address: string, receive: Receive) => Promise<Link>
}

const PROTOCOL = '/bench/1'
/** As node/transport/libp2p.ts sets it. */
const STREAM_WINDOW_BYTES_MAX = 2 * 1024 * 1024
const MESH_ID = new Uint8Array(32).fill(0xbe)
const SEEDS = { dialler: new Uint8Array(32).fill(1), listener: new Uint8Array(32).fill(2) } as const
type Side = keyof typeof SEEDS
type EncrypterFactory = (components: never) => ConnectionEncrypter

/** The stacks by name; the first is the reference of all, `noise-xx` that of the encrypting ones. */
export const STACKS: Readonly<Record<StackName, Stack>> = {
  raw: rawTcp(),
  plaintext: overLibp2p(plaintext),
  'noise-xx': overLibp2p(() => Promise.resolve(noise() as EncrypterFactory)),
  'kith-stream': overNodeStream(),
  kith: overChannel(),
}

function rawTcp(): Stack {
  return {
    async listen(receive) {
      const server = createServer({ noDelay: true }, (socket) => void overSocket(socket, receive))
      server.listen(0, '127.0.0.1')
      await once(server, 'listening')
      return String((server.address() as AddressInfo).port)
    },
    async dial(port, receive) {
      const socket = connect({ port: Number(port), host: '127.0.0.1', noDelay: true })
      await once(socket, 'connect')
      return overSocket(socket, receive)
    },
  }
}

/** The writes of one turn are gathered into one system call: the cheapest that Node can do. */
function overSocket(socket: Socket, receive: Receive): Link {
  let isCorked = false
  const uncork = (): void => {
    isCorked = false
    socket.uncork()
  }
  const link: Link = {
    send(bytes) {
      if (!isCorked) {
        isCorked = true
        socket.cork()
        queueMicrotask(uncork)
      }
      return socket.write(bytes)
    },
    async drained() {
      if (socket.writableNeedDrain) await once(socket, 'drain')
    },
  }
  socket.on('data', (bytes: Buffer) => receive(link, bytes))
  return link
}

/** libp2p with one encrypter, stock yamux and otherwise the settings our nodes use. */
function overLibp2p(encrypter: (side: Side) => Promise<EncrypterFactory>): Stack {
  const start = async (side: Side, listen: string[]): Promise<Libp2p> =>
    createLibp2p({
      privateKey: await generateKeyPairFromSeed('Ed25519', SEEDS[side]),
      addresses: { listen },
      transports: [tcp()],
      connectionEncrypters: [
        (await encrypter(side)) as unknown as (components: unknown) => ConnectionEncrypter,
      ],
      streamMuxers: [yamux({ streamOptions: { maxStreamWindowSize: STREAM_WINDOW_BYTES_MAX } })],
      connectionMonitor: { enabled: false },
    })
  return {
    async listen(receive) {
      const node = await start('listener', ['/ip4/127.0.0.1/tcp/0'])
      await node.handle(PROTOCOL, (stream) => void overStream(stream, receive))
      return node.getMultiaddrs()[0]?.toString() ?? ''
    },
    async dial(address, receive) {
      const node = await start('dialler', [])
      return overStream(await node.dialProtocol(multiaddr(address), PROTOCOL), receive)
    },
  }
}

function overStream(stream: Stream, receive: Receive): Link {
  const link: Link = {
    send: (bytes) => stream.send(bytes) || !stream.writableNeedsDrain,
    async drained() {
      if (stream.writableNeedsDrain)
        await new Promise((resolve) => stream.addEventListener('drain', resolve, { once: true }))
    },
  }
  stream.addEventListener('message', ({ data }) => {
    for (const part of data instanceof Uint8Array ? [data] : data) receive(link, part)
  })
  return link
}

/** Passes everything through: what libp2p and yamux cost by themselves. Only for two processes that know each other's key. */
async function plaintext(side: Side): Promise<EncrypterFactory> {
  const other = side === 'dialler' ? 'listener' : 'dialler'
  const remotePeer: PeerId = peerIdFromPrivateKey(await generateKeyPairFromSeed('Ed25519', SEEDS[other]))
  const pass = (connection: MessageStream) => Promise.resolve({ connection, remotePeer })
  return () => ({ protocol: '/bench/plaintext', secureInbound: pass, secureOutbound: pass })
}

/** A node's own network: our handshake right behind TCP, our records, our multiplexer, and libp2p above them. */
async function startNode(side: Side, listen: string[]): Promise<{ node: MeshNode; muxes: MuxRegistry }> {
  const muxes = new MuxRegistry()
  const emit: EmitEvent = ({ kind, reason, text }) => {
    if (kind !== 'handshake.done') process.stderr.write(`kith: ${kind} ${reason}: ${text}\n`)
  }
  const identity = { meshId: MESH_ID, seed: SEEDS[side], clock: systemClock, random: systemRandom, emit }
  const channel = {
    ...identity,
    defer: setImmediate,
    deferLate: (fn: () => void) => setImmediate(() => setImmediate(() => setImmediate(fn))),
    timers: systemTimers,
    credentials: () => new TextEncoder().encode('certificate'),
    checkPeer: () => ({ ok: true }) as const,
    sessions: new SessionRegistry(),
    muxes,
  }
  const upgrade = new ChannelUpgrade(channel)
  const door = new JoinDoor(identity, () => Promise.reject(new Error('nobody joins a benchmark')))
  const node = await startLibp2p({
    seed: SEEDS[side],
    id8: id8Of(MESH_ID),
    listen,
    announce: [],
    tcp: {
      upgrade,
      door,
      emit,
      steadyClock,
      compat: false,
      ready: new ReadyConnections(upgrade, steadyClock, emit),
      reflection: { serve: () => false },
    },
    encrypters: [secureChannel(channel, upgrade)],
  })
  return { node, muxes }
}

/** Our network, by a bare channel as services use it. */
function overChannel(): Stack {
  return {
    async listen(receive) {
      const { node, muxes } = await startNode('listener', ['/ip4/127.0.0.1/tcp/0'])
      muxes.handle(PROTOCOL, (channel) => void channelLink(channel, receive))
      return node.getMultiaddrs()[0]?.toString() ?? ''
    },
    async dial(address, receive) {
      const { node, muxes } = await startNode('dialler', [])
      const { remotePeer } = await node.dial(multiaddr(address))
      return channelLink(muxes.open(remotePeer.toString(), PROTOCOL), receive)
    },
  }
}

/** Our network, by a libp2p stream as the protocols between nodes use it. */
function overNodeStream(): Stack {
  return {
    async listen(receive) {
      const { node } = await startNode('listener', ['/ip4/127.0.0.1/tcp/0'])
      await node.handle(PROTOCOL, (stream) => void overStream(stream, receive))
      return node.getMultiaddrs()[0]?.toString() ?? ''
    },
    async dial(address, receive) {
      const { node } = await startNode('dialler', [])
      return overStream(await node.dialProtocol(multiaddr(address), PROTOCOL), receive)
    },
  }
}

function channelLink(channel: ByteChannel, receive: Receive): Link {
  let onDrain: (() => void) | undefined
  let needsDrain = false
  const link: Link = {
    send(bytes) {
      needsDrain = !channel.write(bytes)
      return !needsDrain
    },
    drained: () => (needsDrain ? new Promise((resolve) => (onDrain = resolve)) : Promise.resolve()),
  }
  channel.use({
    onData(bytes) {
      receive(link, bytes)
      channel.consumed(bytes.length)
    },
    onEnd: () => undefined,
    onReset: (error) => void process.stderr.write(`kith: reset: ${error.message}\n`),
    onDrain() {
      needsDrain = false
      onDrain?.()
    },
  })
  return link
}
