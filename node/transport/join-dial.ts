import type { Connection, MultiaddrConnection, Upgrader } from '@libp2p/interface'
import { tcp } from '@libp2p/tcp'
import { CODE_P2P, type Multiaddr } from '@multiformats/multiaddr'
import { KithError } from '../../protocols/common/errors.ts'
import { keyFromPeerId } from '../../protocols/common/peer-id.ts'
import { ChannelError } from '../../protocols/secure-channel/errors.ts'
import { requestOverChannel, type ExchangeInit } from '../../protocols/secure-channel/exchange.ts'
import { silentLogger } from './silent-logger.ts'

/** To a door's answer to TCP. */
const CONNECT_MS = 2500

/**
 * Asks one question at the node of `address` (which must end in `/p2p/` and an Ed25519 peer id) and gives the reply. No libp2p
 * node is needed: a machine that joins has no membership yet. @throws ChannelError `peer-id-required`, `peer-id-unsupported`,
 * `door-unreachable`, or the reason of the handshake.
 */
export async function dialExchange(
  address: Multiaddr,
  init: ExchangeInit,
  request: Uint8Array,
  signal: AbortSignal,
): Promise<Uint8Array> {
  const key = doorKey(address)
  let reply: Uint8Array | undefined
  let failure: unknown
  // A firewall that swallows packets must leave time for the next door: one SYN retransmission fits.
  const connecting = new AbortController()
  const late = setTimeout(() => connecting.abort(new Error('the door did not answer in time')), CONNECT_MS)
  // libp2p's transport wants a Connection back; the exchange ends before there is one, so the upgrade always throws.
  const upgradeOutbound = async (connection: MultiaddrConnection): Promise<Connection> => {
    clearTimeout(late)
    try {
      reply = await requestOverChannel(connection, init, key, request, signal)
    } catch (error) {
      failure = error
      throw error
    }
    await connection.close({ signal })
    throw new ChannelError('exchange-done', 'The join exchange is done')
  }
  const transport = tcp()({ logger: silentLogger() })
  try {
    const either = AbortSignal.any([signal, connecting.signal])
    await transport.dial(address, { signal: either, upgrader: { upgradeOutbound } as unknown as Upgrader })
  } catch (cause) {
    if (reply !== undefined) return reply
    if (failure instanceof KithError) throw failure
    const text = cause instanceof Error ? cause.message : String(cause)
    throw new ChannelError('door-unreachable', `Cannot join at ${address.toString()}: ${text}`, { cause })
  } finally {
    clearTimeout(late)
  }
  throw new Error('the transport returned a connection that was never made')
}

function doorKey(address: Multiaddr): Uint8Array {
  const id = address.getComponents().findLast((component) => component.code === CODE_P2P)?.value
  if (id === undefined)
    throw new ChannelError('peer-id-required', `${address.toString()} lacks /p2p/ and a peer id`)
  try {
    return keyFromPeerId(id)
  } catch (cause) {
    throw new ChannelError('peer-id-unsupported', `${id} is not an Ed25519 peer id`, { cause })
  }
}
