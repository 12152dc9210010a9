import { noise } from '@chainsafe/libp2p-noise'
import { generateKeyPair, generateKeyPairFromSeed } from '@libp2p/crypto/keys'
import type { Libp2p } from '@libp2p/interface'
import { tcp } from '@libp2p/tcp'
import { yamux } from '@libp2p/yamux'
import type { ExecutionContext } from 'ava'
import { createLibp2p } from 'libp2p'

/** A node on loopback whose connections are libp2p's own, stopped after the test; with the identity of `seed`, or a new one. */
export async function plainNode(t: ExecutionContext, seed?: Uint8Array): Promise<Libp2p> {
  const node = await createLibp2p({
    privateKey: await (seed === undefined
      ? generateKeyPair('Ed25519')
      : generateKeyPairFromSeed('Ed25519', seed)),
    addresses: { listen: ['/ip4/127.0.0.1/tcp/0'] },
    transports: [tcp()],
    connectionEncrypters: [noise()],
    streamMuxers: [yamux()],
    connectionMonitor: { enabled: false },
  })
  t.teardown(() => node.stop())
  return node
}
