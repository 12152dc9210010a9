import { once } from 'node:events'
import { createServer, type Server, type Socket } from 'node:net'
import { listenFailure } from '../listening.ts'
import { LOCAL_HIGH_WATER_BYTES } from './channel-stream.ts'
import type { EmitEvent } from '../../protocols/common/ports.ts'
import type { Directory, ServiceEntry } from '../../protocols/naming/directory.ts'
import { LOOPBACK_PROBES } from '../../protocols/naming/limits.ts'
import { loopbackAddress } from '../../protocols/naming/loopback.ts'
import type { LocalEndpoint } from '../../protocols/naming/zone.ts'

/** Services this node listens for at most; beyond it names still work through the gateway's own port. Reaching it is said once. */
export const SERVICE_LISTENERS_MAX = 1000
/** Open connections to one listener; one more is closed, with an event. */
export const CONNECTIONS_PER_LISTENER_MAX = 4096

/** What a listener does with an accepted connection. */
export type Accept = (connection: Socket, entry: ServiceEntry) => void

/** Local listeners for every service of the mesh, each on a loopback address of its own. */
export interface ServiceListeners {
  /** Brings the listeners in line with the directory; runs one after another. */
  update(directory: Directory): Promise<void>
  endpoint(serviceName: string): LocalEndpoint | undefined
  close(): Promise<void>
}

/** What `openServiceListeners` needs. */
export interface ServiceListenersInit {
  readonly nodeId: string
  /** The gateway's port, and others (80) where HTTP services are listened for too. */
  readonly gatewayPort: number
  readonly extraHttpPorts: readonly number[]
  /** Only Linux routes all of 127/8 to the host; elsewhere the shared gateway port and forwards serve. */
  readonly hasOwnAddresses: boolean
  readonly accept: Accept
  readonly emit: EmitEvent
}

interface Listener {
  readonly endpoint: LocalEndpoint
  readonly servers: Server[]
  readonly connections: Set<Socket>
  entry: ServiceEntry
}

/** Starts with no listener; `update` opens and closes them. */
export function openServiceListeners(init: ServiceListenersInit): ServiceListeners {
  const listeners = new Map<string, Listener>()
  /** Services that could not be listened for, tried again at each change but reported once. */
  const failing = new Map<string, number>()
  let updating = Promise.resolve()
  let isFull = false

  const apply = async (directory: Directory): Promise<void> => {
    for (const [name, listener] of listeners) {
      const entry = directory.services.get(name)
      if (entry !== undefined && wantedPort(entry, init.gatewayPort) === listener.endpoint.port)
        listener.entry = entry
      else {
        listeners.delete(name)
        await closeListener(listener)
      }
    }
    for (const name of failing.keys()) if (!directory.services.has(name)) failing.delete(name)
    if (directory.services.size <= SERVICE_LISTENERS_MAX) isFull = false
    for (const [name, entry] of directory.services) {
      if (listeners.has(name)) continue
      if (listeners.size >= SERVICE_LISTENERS_MAX) {
        if (!isFull) reportFull(init)
        isFull = true
        continue
      }
      const port = wantedPort(entry, init.gatewayPort)
      const outcome = await openListener(init, entry)
      if (outcome instanceof Error) {
        if (failing.get(name) !== port) report(init, entry, outcome)
        failing.set(name, port)
      } else {
        failing.delete(name)
        listeners.set(name, outcome)
      }
    }
  }
  return {
    update(directory) {
      if (init.hasOwnAddresses) updating = updating.then(() => apply(directory))
      return updating
    },
    endpoint(name) {
      if (!init.hasOwnAddresses) return { address: '127.0.0.1', port: init.gatewayPort }
      return listeners.get(name)?.endpoint
    },
    async close() {
      await updating
      await Promise.all([...listeners.values()].map(closeListener))
      listeners.clear()
    },
  }
}

function wantedPort(entry: ServiceEntry, gatewayPort: number): number {
  return entry.service.proto === 'tcp' ? entry.service.port : gatewayPort
}

async function openListener(init: ServiceListenersInit, entry: ServiceEntry): Promise<Listener | Error> {
  const port = wantedPort(entry, init.gatewayPort)
  let failure = new Error('no address was tried')
  for (let attempt = 0; attempt < LOOPBACK_PROBES; attempt += 1) {
    const address = loopbackAddress(init.nodeId, entry.service.name, attempt)
    const listener: Listener = { endpoint: { address, port }, servers: [], connections: new Set(), entry }
    try {
      await listen(init, listener, port)
      for (const extra of entry.service.proto === 'tcp' ? [] : init.extraHttpPorts)
        await listen(init, listener, extra)
      return listener
    } catch (error) {
      failure = listenFailure(`service "${entry.service.name}"`, address, port, error)
      await closeListener(listener)
      if ((error as NodeJS.ErrnoException).code !== 'EADDRINUSE') break
    }
  }
  return failure
}

function report(init: ServiceListenersInit, entry: ServiceEntry, failure: Error): void {
  init.emit({
    kind: 'service.not-listening',
    severity: 'notice',
    reason: (failure as { code?: string }).code ?? 'port-in-use',
    text: `${failure.message}; it stays reachable by the gateway port and \`kith forward\``,
    fields: { service: entry.service.name },
  })
}

function reportFull(init: ServiceListenersInit): void {
  init.emit({
    kind: 'service.not-listening',
    severity: 'notice',
    text: `The mesh has more than the ${SERVICE_LISTENERS_MAX} services this node listens for; the others stay reachable by the gateway port and \`kith forward\``,
  })
}

async function listen(init: ServiceListenersInit, listener: Listener, port: number): Promise<void> {
  const server = createServer({
    allowHalfOpen: true,
    noDelay: true,
    highWaterMark: LOCAL_HIGH_WATER_BYTES,
  })
  server.maxConnections = CONNECTIONS_PER_LISTENER_MAX
  server.on('drop', () => {
    const { service, provider } = listener.entry
    init.emit({
      kind: 'service.failed',
      severity: 'notice',
      peer: provider.id,
      reason: 'too-many-streams',
      text: `"${service.name}" has ${server.maxConnections} connections open here`,
      fields: { service: service.name },
    })
  })
  server.listen({ host: listener.endpoint.address, port })
  await once(server, 'listening')
  listener.servers.push(server)
  server.on('connection', (connection) => {
    listener.connections.add(connection)
    connection.on('close', () => listener.connections.delete(connection))
    init.accept(connection, listener.entry)
  })
}

async function closeListener(listener: Listener): Promise<void> {
  for (const connection of listener.connections) connection.destroy()
  for (const server of listener.servers) {
    server.close()
    await once(server, 'close')
  }
}
