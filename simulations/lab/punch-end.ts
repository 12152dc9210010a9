import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { connect, createServer, type Socket } from 'node:net'
import { netcheck, type Netcheck } from '../../node/traversal/netcheck.ts'
import { runPunch, type PunchExchange, type Punched } from '../../node/traversal/punch-driver.ts'
import { RawOpenings, refuseTicket } from '../../node/traversal/raw-openings.ts'
import { reflectFrom } from '../../node/traversal/reflecting.ts'
import { ipBytes } from '../../bootstrap/ip-bytes.ts'
import { steadyClock, systemRandom, systemTimers } from '../../node/system-ports.ts'
import { fromHex, toHex } from '../../protocols/common/bytes.ts'
import type { ReflectorPlace } from '../../protocols/traversal/public-places.ts'
import type { PathStanding } from '../../protocols/traversal/nat.ts'
import { punchFormat, type Offer } from '../../protocols/traversal/wire.ts'
import { JsonLines } from './json-lines.ts'
import { RELAY_PORTS, type Carried, type FromRelay, type ToRelay } from './punch-relay.ts'

/*
 * One end of the lab's punches: the node's own sockets and machines, without libp2p, over a relay in another namespace.
 *   punch-end.ts NAME STANDING RELAY_ADDRESS OTHER_ADDRESS CONTROL   until it is ended
 * STANDING as JSON. CONTROL is a UNIX socket, over which it is told what to do and tells what came of it.
 */

/** What an end is told to do. */
export type Order =
  | {
      readonly order: 'punch'
      readonly n: number
      readonly peer: string
      /** Whether the ends tell each other how they stand. */
      readonly isKnown: boolean
      /** It is no longer wanted then; null: it stays wanted. */
      readonly cancelAfterMs: number | null
    }
  | { readonly order: 'netcheck'; readonly n: number }

/** What an end tells: that it is there, how an attempt ended for it, what it measured. */
export type Told =
  | { readonly told: 'ready'; readonly name: string }
  | ({ readonly told: 'punched'; readonly n: number; readonly name: string } & EndReport)
  | { readonly told: 'checked'; readonly n: number; readonly name: string; readonly netcheck: CheckReport }

/** How an attempt ended for one end. */
export interface EndReport {
  readonly path: 'direct' | 'relay'
  readonly reason: string | null
  readonly role: string | null
  /** From the OFFER. */
  readonly tookMs: number | null
  /** What was said over the connection came back. */
  readonly isEchoed: boolean
  /** SYNs the kernel sent again meanwhile. */
  readonly synsResent: number
  /** Sockets of the attempt that are still there after it. */
  readonly leaked: number
}

/** What `netcheck` found, as JSON carries it. */
export interface CheckReport {
  readonly classified: Netcheck['classified']
  readonly tookMs: number
  readonly silent: Netcheck['silent']
  readonly views: number
}

/** The connection to the relay, and the listener on the mesh port. */
const OWN_HANDLES = 2
/** Where packets get lost a part of it is waited for. */
const ECHO_MS = 8_000
/** The mesh port of an end, as every node has one. */
const MESH_PORT = 4001
const ports = { clock: steadyClock, timers: systemTimers, random: systemRandom }
const never = new AbortController().signal

/** The initiator gave up before it had anything to offer. */
const NEVER_OFFERED: EndReport = {
  path: 'relay',
  reason: 'never-offered',
  role: null,
  tookMs: null,
  isEchoed: false,
  synsResent: 0,
  leaked: 0,
}

class PunchEnd {
  readonly #name: string
  readonly #standing: PathStanding
  readonly #places: readonly ReflectorPlace[]
  readonly #relay: JsonLines<ToRelay, FromRelay>
  readonly #control: JsonLines<Told, Order>
  readonly #openings = new RawOpenings(systemTimers, { reflection: refuseTicket })
  readonly #exchanges = new Map<number, (message: Carried) => void>()
  readonly #reported = new Set<number>()
  readonly #asked = new Map<number, (answer: Uint8Array) => void>()
  #asks = 0

  constructor(
    name: string,
    standing: PathStanding,
    addresses: readonly string[],
    relay: Socket,
    control: Socket,
  ) {
    this.#name = name
    this.#standing = standing
    this.#places = addresses.map((address, i) => ({
      peer: String(i),
      endpoint: { ip: ipBytes(address) ?? new Uint8Array(4), port: RELAY_PORTS.reflect },
    }))
    this.#relay = new JsonLines(relay, (message) => this.#hear(message))
    this.#control = new JsonLines(
      control,
      (order) => void this.#obey(order),
      () => process.exit(0),
    )
  }

  /** Tells that it is there; from then on it does as it is told. */
  start(): void {
    createServer((socket) => this.#openings.accept(socket)).listen(MESH_PORT, '0.0.0.0')
    this.#relay.send({ type: 'hello', name: this.#name })
    this.#control.send({ told: 'ready', name: this.#name })
  }

  async #obey(order: Order): Promise<void> {
    if (order.order === 'punch' && this.#exchanges.has(order.n)) return // the other end was faster
    if (order.order === 'punch')
      return this.#punch(order.n, order.peer, order.isKnown, null, order.cancelAfterMs)
    const started = performance.now()
    const found = await netcheck({
      ...ports,
      places: this.#places,
      ask: (peer, request) => this.#ask(peer, request),
      meshPort: { port: MESH_PORT, openings: this.#openings },
      routerOutside: null,
      signal: never,
    })
    const { classified, silent, observations } = found
    const tookMs = performance.now() - started
    const report = { classified, silent, tookMs, views: observations.views.length }
    this.#control.send({ told: 'checked', n: order.n, name: this.#name, netcheck: report })
  }

  #hear(message: FromRelay): void {
    if (message.type === 'answer') {
      this.#asked.get(message.n)?.(fromHex(message.hex))
      return void this.#asked.delete(message.n)
    }
    const { attempt, from, isKnown, hex } = message
    const exchange = this.#exchanges.get(attempt)
    if (exchange !== undefined) return exchange(message)
    const offer = hex === null ? null : punchFormat.decode(fromHex(hex))
    if (offer?.kind === 1) void this.#punch(attempt, from, isKnown, offer)
    else if (hex === null && !this.#reported.delete(attempt)) this.#report(attempt, NEVER_OFFERED)
  }

  #ask(peer: string, request: Uint8Array): Promise<Uint8Array> {
    const n = ++this.#asks
    return new Promise((resolve) => {
      this.#asked.set(n, resolve)
      this.#relay.send({ type: 'ask', n, reflector: Number(peer), hex: toHex(request) })
    })
  }

  async #punch(
    attempt: number,
    peerId: string,
    isKnown: boolean,
    offer: Offer | null,
    cancelAfterMs: number | null = null,
  ): Promise<void> {
    const before = synsResent()
    const nonce = offer?.nonce ?? systemRandom.bytes(16)
    const [relayed] = this.#places
    const punched = await runPunch({
      ...ports,
      options: {
        ownId: this.#name,
        peerId,
        nonce,
        standing: isKnown ? this.#standing : null,
        peerStanding: null,
        hasV6: false,
        vouched: null,
      },
      offer,
      exchange: this.#exchange(attempt, peerId, isKnown),
      reflect: (port, signal) =>
        reflectFrom(
          port,
          relayed === undefined ? [] : [relayed],
          (peer, request) => this.#ask(peer, request),
          systemTimers,
          signal,
        ),
      emit: () => undefined,
      signal: cancelAfterMs === null ? never : AbortSignal.timeout(cancelAfterMs),
    })
    const isEchoed = punched.path === 'direct' && (await echoes(punched))
    this.#relay.send({ ...this.#carried(attempt, peerId, isKnown), hex: null })
    this.#exchanges.delete(attempt)
    this.#reported.add(attempt)
    await settled()
    this.#report(attempt, {
      path: punched.path,
      reason: punched.path === 'relay' ? punched.reason : null,
      role: punched.path === 'direct' ? punched.role : null,
      tookMs: punched.path === 'direct' ? punched.tookMs : null,
      isEchoed,
      synsResent: synsResent() - before,
      leaked: tcpHandles() - OWN_HANDLES,
    })
  }

  #report(n: number, report: EndReport): void {
    this.#control.send({ told: 'punched', n, name: this.#name, ...report })
  }

  #carried(attempt: number, to: string, isKnown: boolean): Omit<Carried, 'hex'> {
    return { type: 'carry', to, from: this.#name, attempt, isKnown }
  }

  #exchange(attempt: number, to: string, isKnown: boolean): PunchExchange {
    let current = new Uint8Array(0)
    return {
      send: (nonce, bytes) => {
        current = Uint8Array.from(nonce)
        this.#relay.send({ ...this.#carried(attempt, to, isKnown), hex: toHex(bytes) })
      },
      use: (user) => {
        this.#exchanges.set(attempt, ({ hex }) =>
          hex === null ? user.onClose(current) : user.onFrame(fromHex(hex)),
        )
      },
    }
  }
}

/** Says something over a punched connection and waits for it to come back; the responder sends back what it hears. */
function echoes({ socket, role }: Extract<Punched, { path: 'direct' }>): Promise<boolean> {
  return new Promise((resolve) => {
    const end = (isEchoed: boolean): void => {
      clearTimeout(timer)
      socket.destroy()
      resolve(isEchoed)
    }
    const timer = setTimeout(() => end(false), ECHO_MS)
    socket.on('close', () => end(role === 'responder' && socket.bytesWritten > 0))
    socket.on('data', (bytes) => {
      if (role === 'initiator') end(bytes.toString() === 'are you there')
      else socket.write(bytes)
    })
    if (role === 'initiator') socket.write('are you there')
  })
}

/** Sockets close in the next turns of the event loop. */
function settled(): Promise<void> {
  return new Promise((resolve) => void setTimeout(resolve, 5))
}

/** TCP sockets and listeners of this process. */
function tcpHandles(): number {
  return process.getActiveResourcesInfo().filter((name) => name.startsWith('TCP')).length
}

/** SYNs sent again in this namespace so far. */
function synsResent(): number {
  const lines = readFileSync('/proc/self/net/netstat', 'utf8').split('\n')
  const [names, values] = lines.filter((line) => line.startsWith('TcpExt:')).map((line) => line.split(' '))
  return Number(values?.[names?.indexOf('TCPSynRetrans') ?? 0] ?? 0)
}

if (import.meta.main) {
  const [name = '', standing = '', relayAddress = '', other = '', controlPath = ''] = process.argv.slice(2)
  const relay = connect({ host: relayAddress, port: RELAY_PORTS.exchange })
  const control = connect({ path: controlPath })
  await Promise.all([once(relay, 'connect'), once(control, 'connect')])
  const end = new PunchEnd(name, JSON.parse(standing) as PathStanding, [relayAddress, other], relay, control)
  end.start()
}
