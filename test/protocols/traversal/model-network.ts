import { endpointKey, ipKey, type Endpoint } from '../../../protocols/traversal/endpoint.ts'
import type { ModelNat } from './model-nat.ts'

/** Time that passes only when it is told to. */
export class VirtualTime {
  now = 0
  #queue: { at: number; run: () => void }[] = []

  after(delayMs: number, run: () => void): void {
    const at = this.now + delayMs
    // Behind all that are due at the same time.
    const index = this.#queue.findIndex((each) => each.at > at)
    this.#queue.splice(index === -1 ? this.#queue.length : index, 0, { at, run })
  }

  /** Runs all that is due by then. */
  runUntil(at: number, isEnough: () => boolean = () => false): void {
    for (;;) {
      const next = this.#queue[0]
      if (next === undefined || next.at > at || isEnough()) return
      this.#queue.shift()
      this.now = next.at
      next.run()
    }
  }
}

interface Packet {
  readonly kind: 'syn' | 'syn-ack' | 'ack' | 'data' | 'fin' | 'rst'
  readonly from: Endpoint
  readonly to: Endpoint
  readonly bytes: Uint8Array
}

/** What happens to a socket. */
export interface SocketHandlers {
  readonly opened: () => void
  readonly received: (bytes: Uint8Array) => void
  /** `wasOpen` false: the connect was refused. */
  readonly gone: (wasOpen: boolean) => void
}

const SYN_RESENT_MS = [1_000, 3_000, 7_000]
const NO_BYTES = new Uint8Array(0)

/** An internet of hosts behind models of NATs; packets take as long as they are told to and none is lost. */
export class ModelNetwork {
  readonly time: VirtualTime
  readonly delayMs: number
  synsResent = 0
  readonly #sites = new Map<string, ModelHost>()

  constructor(time: VirtualTime, delayMs: number) {
    this.time = time
    this.delayMs = delayMs
  }

  /** `nats`: from the host outwards. */
  addHost(ip: Uint8Array, nats: readonly ModelNat[] = []): ModelHost {
    const host = new ModelHost(this, ip, nats)
    this.#sites.set(ipKey(nats.at(-1)?.address ?? ip), host)
    return host
  }

  /** From the outside of a site to that of another. */
  carry(packet: Packet): void {
    this.time.after(this.delayMs, () => {
      const host = this.#sites.get(ipKey(packet.to.ip))
      if (host === undefined) return
      let { to } = packet
      for (const nat of host.nats.toReversed()) {
        const inside = nat.in(packet.from, to.port)
        if (inside === null) {
          if (nat.unsolicited === 'reset' && packet.kind === 'syn')
            this.carry({ kind: 'rst', from: packet.to, to: packet.from, bytes: NO_BYTES })
          return
        }
        to = inside
      }
      host.receive({ ...packet, to })
    })
  }
}

/** A host whose TCP shares a port between connects and a listener, simultaneous open included (RFC 9293 §3.5). */
export class ModelHost {
  readonly net: ModelNetwork
  readonly ip: Uint8Array
  readonly nats: readonly ModelNat[]
  readonly #sockets = new Map<string, ModelSocket>()
  readonly #listeners = new Map<number, (socket: ModelSocket, from: Endpoint) => SocketHandlers>()

  constructor(net: ModelNetwork, ip: Uint8Array, nats: readonly ModelNat[]) {
    this.net = net
    this.ip = ip
    this.nats = nats
  }

  get openSockets(): number {
    return this.#sockets.size
  }

  /** As Node: a port that is listened on takes no connects (a bug of the owner); null where a socket leads there already. */
  connect(port: number, remote: Endpoint, handlers: SocketHandlers): ModelSocket | null {
    if (this.#listeners.has(port)) throw new Error(`EADDRINUSE ${port}`)
    const key = tuple(port, remote)
    if (this.#sockets.has(key)) return null
    const socket = new ModelSocket(this, port, remote, 'syn-sent')
    socket.handlers = handlers
    this.#sockets.set(key, socket)
    socket.begin('syn')
    return socket
  }

  listen(port: number, accept: (socket: ModelSocket, from: Endpoint) => SocketHandlers): void {
    this.#listeners.set(port, accept)
  }

  unlisten(port: number): void {
    this.#listeners.delete(port)
  }

  forget(socket: ModelSocket): void {
    this.#sockets.delete(tuple(socket.port, socket.remote))
  }

  send(kind: Packet['kind'], port: number, to: Endpoint, bytes: Uint8Array = NO_BYTES): void {
    let from: Endpoint = { ip: this.ip, port }
    for (const nat of this.nats) from = nat.out(from, to)
    this.net.carry({ kind, from, to, bytes })
  }

  receive({ kind, from, to, bytes }: Packet): void {
    const held = this.#sockets.get(tuple(to.port, from))
    if (held !== undefined) return held.receive(kind, bytes)
    const accept = this.#listeners.get(to.port)
    if (kind !== 'syn' || accept === undefined) {
      if (kind !== 'rst') this.send('rst', to.port, from)
      return
    }
    const socket = new ModelSocket(this, to.port, from, 'syn-received')
    socket.accept = () => (socket.handlers = accept(socket, from))
    this.#sockets.set(tuple(to.port, from), socket)
    socket.begin('syn-ack')
  }
}

/** One end of a TCP connection. */
export class ModelSocket {
  readonly port: number
  readonly remote: Endpoint
  handlers: SocketHandlers | null = null
  accept: (() => void) | null = null
  #state: 'syn-sent' | 'syn-received' | 'open' | 'closed'
  readonly #host: ModelHost

  constructor(host: ModelHost, port: number, remote: Endpoint, state: 'syn-sent' | 'syn-received') {
    this.#host = host
    this.port = port
    this.remote = remote
    this.#state = state
  }

  /** Sends the first packet, and again until it is answered. */
  begin(kind: 'syn' | 'syn-ack'): void {
    const waiting = this.#state
    this.#send(kind)
    for (const after of SYN_RESENT_MS)
      this.#host.net.time.after(after, () => {
        if (this.#state !== waiting) return
        this.#host.net.synsResent++
        this.#send(kind)
      })
  }

  write(bytes: Uint8Array): void {
    if (this.#state === 'open') this.#send('data', bytes)
  }

  close(): void {
    if (this.#state === 'closed') return
    this.#send(this.#state === 'open' ? 'fin' : 'rst')
    this.#end()
  }

  receive(kind: Packet['kind'], bytes: Uint8Array): void {
    switch (kind) {
      case 'syn':
        if (this.#state === 'syn-sent') this.#state = 'syn-received'
        return this.#send(this.#state === 'open' ? 'ack' : 'syn-ack')
      case 'syn-ack':
        this.#send('ack')
        return this.#open()
      case 'ack':
      case 'data':
        this.#open()
        if (kind === 'data') this.handlers?.received(bytes)
        return
      case 'fin':
      case 'rst': {
        const wasOpen = this.#state === 'open'
        this.#end()
        this.handlers?.gone(wasOpen)
      }
    }
  }

  #open(): void {
    if (this.#state === 'open') return
    this.#state = 'open'
    this.accept?.()
    this.handlers?.opened()
  }

  #end(): void {
    this.#state = 'closed'
    this.#host.forget(this)
  }

  #send(kind: Packet['kind'], bytes?: Uint8Array): void {
    this.#host.send(kind, this.port, this.remote, bytes)
  }
}

function tuple(port: number, remote: Endpoint): string {
  return `${port}>${endpointKey(remote)}`
}
