import { generateKeyPairFromSeed } from '@libp2p/crypto/keys'
import { identify } from '@libp2p/identify'
import type { ConnectionEncrypter, Topology } from '@libp2p/interface'
import { kadDHT, passthroughMapper, type KadDHTComponents } from '@libp2p/kad-dht'
import { ping } from '@libp2p/ping'
import { yamux } from '@libp2p/yamux'
import { createLibp2p } from 'libp2p'
import { RECORD_NAMESPACE, type RecordCopies } from '../../protocols/registry/record-copies.ts'
import { VERSION } from '../version.ts'
import { byLocality } from './addresses.ts'
import { membersOnly, membersOnlyTopology, stockEncrypter } from './compat.ts'
import { listenError } from './listen-error.ts'
import type { MeshNode, MeshServices } from './mesh-node.ts'
import { meshTcp, type MeshTcpInit } from './mesh-tcp.ts'
import type { RecordDatastore } from './record-datastore.ts'

/** What differs from node to node; everything else is decided here. */
export interface MeshNodeInit {
  /** 32-byte Ed25519 seed. */
  readonly seed: Uint8Array
  /** First 8 hex digits of the mesh id; part of every protocol id, so that two meshes can never merge. */
  readonly id8: string
  /** Copies of registrations the DHT keeps, and where; without them it is for routing alone and keeps nothing. */
  readonly records?: { readonly copies: RecordCopies; readonly datastore: RecordDatastore } | undefined
  readonly listen: readonly string[]
  readonly announce: readonly string[]
  /** Direct connections: our handshake right behind TCP. */
  readonly tcp: MeshTcpInit
  /** Encrypters in order of preference, for connections whose transport is libp2p's own. */
  readonly encrypters: readonly ((components: never) => ConnectionEncrypter)[]
}

/** Streams a member may open to us at once, over all protocols; a browser page behind a gateway opens hundreds. */
const STREAMS_PER_CONNECTION_MAX = 8192
/** Streams that may arrive before the new connection is ready; the default of 10 resets the rest. */
const EARLY_STREAMS_MAX = 1000
/** Our stream adapter pauses at its own high-water mark; libp2p resets a paused stream whose window outgrew its read buffer. */
const STREAM_WINDOW_BYTES_MAX = 2 * 1024 * 1024
/** Many members behind one NAT or on one loopback come back at once after a restart; the default of 5 refuses them. */
const INBOUND_CONNECTIONS_PER_SECOND = 200
/** A peer that does not answer TCP within this is away; the reconnect loop comes back to it. */
const DIAL_TIMEOUT_MS = 5000
/** A relay holds as many reservations (protocols/relay) and its neighbours; libp2p closes what is above. */
const CONNECTIONS_MAX = 2048
/** Contacts per Kademlia bucket: a put or get in a small mesh then does not touch everybody (membership research, row 7). */
const KAD_BUCKET_SIZE = 8

/**
 * Builds and starts libp2p with the settings a small private mesh needs; each departure from a default has its reason here.
 * @throws ListenError when a mesh port is in use.
 */
export async function startLibp2p(init: MeshNodeInit): Promise<MeshNode> {
  const prefix = `kith/${init.id8}`
  /** Every machine has a 127.0.0.1, many a 192.168.1.5: another member's address can be one of our own. */
  const isOwn = (address: string): boolean =>
    node?.getMultiaddrs().some((own) => withoutPeer(own.toString()) === withoutPeer(address)) ?? false
  let node: MeshNode | undefined
  const { compat } = init.tcp
  const { copies } = init.records ?? {}
  const copyRules =
    copies === undefined
      ? {}
      : {
          validators: {
            [RECORD_NAMESPACE]: async (key: Uint8Array, value: Uint8Array) => copies.validate(key, value),
          },
          selectors: {
            [RECORD_NAMESPACE]: (key: Uint8Array, values: Uint8Array[]) => copies.select(key, values),
          },
        }
  const encrypters = compat ? [...init.encrypters, await stockEncrypter()] : init.encrypters
  try {
    node = await createLibp2p<MeshServices>({
      privateKey: await generateKeyPairFromSeed('Ed25519', init.seed),
      nodeInfo: { name: 'kith', version: VERSION, userAgent: `kith/${VERSION}` },
      addresses: { listen: [...init.listen], announce: [...init.announce] },
      ...(init.records === undefined ? {} : { datastore: init.records.datastore }),
      transports: [meshTcp(init.tcp)],
      connectionEncrypters: encrypters as ((components: unknown) => ConnectionEncrypter)[],
      streamMuxers: [
        yamux({
          // The initial window stays 256 KiB: a sender assumes its own value of the other side.
          streamOptions: { maxStreamWindowSize: STREAM_WINDOW_BYTES_MAX },
          maxInboundStreams: STREAMS_PER_CONNECTION_MAX,
          maxOutboundStreams: STREAMS_PER_CONNECTION_MAX,
          // Streams opened right behind the handshake, before the other side has set up its handlers: a page's worth and more.
          maxEarlyStreams: EARLY_STREAMS_MAX,
        }),
      ],
      connectionManager: {
        addressSorter: byLocality,
        maxConnections: CONNECTIONS_MAX,
        dialTimeout: DIAL_TIMEOUT_MS,
        inboundConnectionThreshold: INBOUND_CONNECTIONS_PER_SECOND,
        maxIncomingPendingConnections: INBOUND_CONNECTIONS_PER_SECOND,
        // libp2p gives up after five tries and forgets the peer; the loop in bootstrap/ never does.
        reconnectRetries: 0,
      },
      // It pings every connection each 10 s and aborts on one slow answer; membership probes watch the links.
      connectionMonitor: { enabled: false },
      connectionGater: {
        // Noise IK needs the responder's key before the first byte. Dialling ourselves under another's key looks like an attack.
        denyDialMultiaddr: (address) => !address.toString().includes('/p2p/') || isOwn(address.toString()),
      },
      services: {
        identify: identify({ protocolPrefix: prefix }),
        ping: ping({
          protocolPrefix: prefix,
          maxInboundStreams: 32,
          maxOutboundStreams: 32,
          runOnLimitedConnection: true,
        }),
        dht: membersOnlyService(
          kadDHT({
            protocol: `/${prefix}/kad/1`,
            // By default a node with private addresses only is a client and drops private addresses: then no table ever fills.
            clientMode: false,
            peerInfoMapper: passthroughMapper,
            allowQueryWithZeroPeers: true,
            kBucketSize: KAD_BUCKET_SIZE,
            alpha: 3,
            disjointPaths: 1,
            initialQuerySelfInterval: 500,
            querySelfInterval: 60_000,
            // `/pk/` takes anybody's own key by default: a way to fill disks.
            validators: { pk: refuseRecord, ...copyRules.validators },
            selectors: { pk: () => 0, ...copyRules.selectors },
          }),
        ),
      },
    })
    const handle = node.handle.bind(node)
    node.handle = (protocol, handler, options) => handle(protocol, membersOnly(handler), options)
    return node
  } catch (error) {
    throw listenError(init.listen, error)
  }
}

/** A libp2p service that serves members alone. */
function membersOnlyService<T>(
  create: (components: KadDHTComponents) => T,
): (components: KadDHTComponents) => T {
  return (components) => {
    const { registrar } = components
    const guarded = Object.create(registrar, {
      handle: {
        value: (...[protocol, handler, options]: Parameters<typeof registrar.handle>) =>
          registrar.handle(protocol, membersOnly(handler), options),
      },
      register: {
        value: (protocol: string, topology: Topology) =>
          registrar.register(protocol, membersOnlyTopology(topology)),
      },
    }) as typeof registrar
    return create(Object.create(components, { registrar: { value: guarded } }) as KadDHTComponents)
  }
}

function withoutPeer(address: string): string {
  return address.replace(/\/p2p\/.*$/, '')
}

function refuseRecord(): never {
  throw new Error('this mesh stores no such records in the DHT')
}
