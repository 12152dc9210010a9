import type {
  ConnectionEncrypter,
  MessageStream,
  SecureConnectionOptions,
  SecuredConnection,
  StreamMuxerFactory,
  Upgrader,
} from '@libp2p/interface'
import { messageStreamTransport } from './byte-transport.ts'
import { ChannelError } from './errors.ts'
import { readOpening } from './frames.ts'
import { ChannelUpgrade, type RawConnection, type Secured, type SecureChannelInit } from './upgrade.ts'
import { protocolId } from './wire.ts'

/** The part of libp2p's registrar that knows what is served. */
export interface ServedProtocols {
  getProtocols(): string[]
}

/** What libp2p hands to the factory. */
export interface SecureChannelComponents {
  readonly upgrader: Pick<Upgrader, 'getStreamMuxers'>
  readonly registrar?: ServedProtocols
}

/**
 * The channel as a libp2p connection encrypter, behind multistream-select: for connections whose transport is libp2p's own, as
 * through a circuit relay. Direct TCP connections go without the negotiation (node/transport).
 * @param upgrade shared with the other ways to connect, so that a first message is not replayed from one to the other.
 * @example createLibp2p({ connectionEncrypters: [secureChannel(init)], … })
 */
export function secureChannel(
  init: SecureChannelInit,
  upgrade: ChannelUpgrade = new ChannelUpgrade(init),
): (components: SecureChannelComponents) => ConnectionEncrypter {
  return (components) => ({
    protocol: protocolId(init.meshId, 'member'),
    async secureOutbound(stream: MessageStream, options?: SecureConnectionOptions) {
      return secured(await upgrade.dial(rawConnection(stream, components, options), options?.remotePeer))
    },
    async secureInbound(stream: MessageStream, options?: SecureConnectionOptions) {
      const raw = rawConnection(stream, components, options)
      return secured(await upgrade.answer(raw, () => memberMessage(stream, options?.signal)))
    },
  })
}

async function memberMessage(stream: MessageStream, signal: AbortSignal | undefined): Promise<Uint8Array> {
  const { purpose, message } = await readOpening(stream, signal)
  if (purpose !== 'member')
    throw new ChannelError('stranger-refused', `The purpose ${purpose} does not belong here`)
  return message
}

/** Whether libp2p serves a protocol; everything where nobody can tell. */
export function servedBy(registrar: ServedProtocols | undefined): (protocol: string) => boolean {
  return (protocol) => registrar === undefined || registrar.getProtocols().includes(protocol)
}

function rawConnection(
  stream: MessageStream,
  components: SecureChannelComponents,
  options: SecureConnectionOptions | undefined,
): RawConnection {
  const none = new Map<string, StreamMuxerFactory>()
  const isServed = servedBy(components.registrar)
  const muxers = options?.skipStreamMuxerNegotiation === true ? none : components.upgrader.getStreamMuxers()
  return {
    stream,
    transport: () => messageStreamTransport(stream),
    signal: options?.signal,
    muxers,
    isServed,
  }
}

function secured({ stream, remotePeer, muxer }: Secured): SecuredConnection {
  return { connection: stream, remotePeer, ...(muxer === undefined ? {} : { streamMuxer: muxer }) }
}
