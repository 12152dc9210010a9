import { once } from 'node:events'
import { createServer, type Server, type Socket } from 'node:net'
import type { EmitEvent } from '../../protocols/common/ports.ts'
import type { ServiceEntry } from '../../protocols/naming/directory.ts'
import type { Config } from '../config/schema.ts'
import { listenFailure } from '../listening.ts'
import { startDnsServer, type Answer, type DnsServer } from '../resolver/dns-server.ts'
import { createGateway, type Gateway } from './gateway/gateway.ts'
import { openServiceListeners, type ServiceListeners } from './listeners.ts'
import type { Reach } from './reach.ts'

/** Ports below 1024 that `--privileged` adds. */
const DNS_PORT = 53
const HTTP_PORT = 80
/** Browsers try both for `*.localhost`: a port left to others on one of them would be theirs to answer on. */
const LOOPBACK = ['127.0.0.1', '::1']

/** Open connections to the gateway on one address; one more is closed, with an event. */
export const GATEWAY_CONNECTIONS_MAX = 4096

/** What `startLocal` needs. */
export interface LocalInit {
  readonly reach: Reach
  readonly nodeId: string
  readonly domain: string
  readonly localLabel: string
  readonly config: Config
  readonly answer: Answer
  readonly emit: EmitEvent
}

/** What listens on this machine for its own programs. */
export interface Local {
  readonly dns: readonly DnsServer[]
  readonly gatewayPort: number
  readonly listeners: ServiceListeners
  stop(): Promise<void>
}

/**
 * Opens the gateway, the DNS answers and the listeners of the services.
 * @throws ListenError `port-in-use`, `port-forbidden`; what was opened before is closed again.
 */
export async function startLocal({
  reach,
  nodeId,
  domain,
  localLabel,
  config,
  answer,
  emit,
}: LocalInit): Promise<Local> {
  const gateway = createGateway({ reach, domain, localLabel, emit })
  const entrance = new Entrance(gateway, emit)
  const dns: DnsServer[] = []
  const close = async (): Promise<void> => {
    await Promise.all(dns.map((server) => server.close()))
    gateway.close()
    await entrance.close()
  }
  try {
    const gatewayPort = await entrance.listen(config.gateway.address, config.gateway.port)
    dns.push(await startDnsServer('127.0.0.1', config.dns.port, answer))
    if (config.privileged) {
      await entrance.listen(config.gateway.address, HTTP_PORT)
      dns.push(await startDnsServer('127.0.0.1', DNS_PORT, answer))
    }
    const listeners = openServiceListeners({
      nodeId,
      gatewayPort,
      extraHttpPorts: config.privileged ? [HTTP_PORT] : [],
      hasOwnAddresses: process.platform === 'linux',
      accept: (connection, entry) => acceptLocal(gateway, reach, emit, connection, entry),
      emit,
    })
    const stop = async (): Promise<void> => {
      await listeners.close()
      await close()
    }
    return { dns, gatewayPort, listeners, stop }
  } catch (error) {
    await close()
    throw error
  }
}

/** The gateway's own port, on every address it is asked for. */
class Entrance {
  readonly #gateway: Gateway
  readonly #emit: EmitEvent
  readonly #servers: Server[] = []
  readonly #connections = new Set<Socket>()

  constructor(gateway: Gateway, emit: EmitEvent) {
    this.#gateway = gateway
    this.#emit = emit
  }

  /** Listens on both loopback addresses, and on `address` where that is another one. Returns the port. */
  async listen(address: string, port: number): Promise<number> {
    const [first = '', ...others] =
      address === '0.0.0.0' || address === '::' ? [address] : [...new Set([...LOOPBACK, address])]
    const bound = await this.#open(first, port)
    for (const other of others) {
      try {
        await this.#open(other, bound)
      } catch (error) {
        // A machine without IPv6 has no ::1, and nobody else can have it either.
        if (other !== '::1' || (error as { code?: string }).code !== 'port-forbidden') throw error
      }
    }
    return bound
  }

  async close(): Promise<void> {
    for (const connection of this.#connections) connection.destroy()
    for (const server of this.#servers) {
      server.close()
      await once(server, 'close')
    }
  }

  async #open(address: string, port: number): Promise<number> {
    // An upgraded connection is joined as it is, half-closes included.
    const server = createServer({ noDelay: true, allowHalfOpen: true }, (connection) => {
      this.#connections.add(connection)
      connection.on('close', () => this.#connections.delete(connection))
      this.#gateway.serve(connection)
    })
    server.maxConnections = GATEWAY_CONNECTIONS_MAX
    server.on('drop', () =>
      this.#emit({
        kind: 'gateway.failed',
        severity: 'warning',
        reason: 'too-many-streams',
        text: `The gateway has ${server.maxConnections} connections open on ${address} and closed one more`,
      }),
    )
    try {
      server.listen({ host: address, port, ipv6Only: address === '::1' })
      await once(server, 'listening')
    } catch (error) {
      throw listenFailure('the gateway', address, port, error)
    }
    this.#servers.push(server)
    const bound = server.address()
    return typeof bound === 'object' && bound !== null ? bound.port : port
  }
}

/** HTTP goes through the gateway's checks; anything else is joined byte by byte. */
function acceptLocal(
  gateway: Gateway,
  reach: Reach,
  emit: EmitEvent,
  connection: Socket,
  entry: ServiceEntry,
): void {
  if (entry.service.proto === 'http') return gateway.serve(connection)
  reach.join(entry, connection, (error) => {
    if (error === undefined) return
    emit({
      kind: 'service.failed',
      severity: 'notice',
      peer: entry.provider.id,
      reason: (error as { code?: string }).code ?? 'stream-failed',
      text: error.message,
      fields: { service: entry.service.name },
    })
  })
}
