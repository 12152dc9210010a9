import { createSocket, type RemoteInfo, type Socket } from 'node:dgram'
import { MULTICAST_PORT, type LanSource } from '../../bootstrap/lan-state.ts'
import { BootstrapError } from '../../bootstrap/errors.ts'
import { LAN_LINKS_MAX, LINK_RETRY_MS } from '../../bootstrap/limits.ts'
import type { Clock, EmitEvent } from '../../protocols/common/ports.ts'
import type { LanInterface } from './lan-interfaces.ts'

/** RFC 6762 §3. */
const GROUP = { ip4: '224.0.0.251', ip6: 'ff02::fb' } as const
/** RFC 6762 §11: receivers may check that nothing routed it. */
const MULTICAST_TTL = 255

type Family = keyof typeof GROUP

interface OpenLink {
  readonly socket: Socket
  readonly family: Family
  /** What it was opened for; another address means another socket. */
  readonly key: string
  isReady: boolean
}

/** What the sockets tell. */
export interface LanSocketsInit {
  readonly onPacket: (link: string, bytes: Uint8Array, from: LanSource) => void
  /** A link opened after `update` returned. */
  readonly onReady: () => void
  readonly emit: EmitEvent
  readonly clock: Clock
}

/**
 * One UDP socket an interface and family, bound to the multicast group itself and port 5353, shared with avahi and others: so
 * bound it receives nothing but multicast, and takes no unicast away from them. On Linux every socket hears the IPv4 multicast
 * of all interfaces; whoever reads tells them apart by the sender's subnet. Windows cannot bind to a group and binds to all.
 */
export class LanSockets {
  readonly #init: LanSocketsInit
  readonly #open = new Map<string, OpenLink>()
  /** Links that failed: until when they are left alone. */
  readonly #failed = new Map<string, number>()
  /** Links whose failure was told, `LAN_LINKS_MAX` in a run: containers come and go with interfaces of ever new names. */
  readonly #told = new Set<string>()

  constructor(init: LanSocketsInit) {
    this.#init = init
  }

  /** Opens and closes sockets so that there is one for each of these; the ids (`eth0/ip4`) of those that are ready, by interface. */
  update(interfaces: readonly LanInterface[]): Map<string, LanInterface> {
    const wanted = new Map<string, { each: LanInterface; family: Family; address: string }>()
    for (const each of interfaces) {
      const v4 = each.addresses.find((address) => !address.includes(':'))
      if (v4 !== undefined) wanted.set(`${each.name}/ip4`, { each, family: 'ip4', address: v4 })
      if (each.addresses.some((address) => address.includes(':')))
        wanted.set(`${each.name}/ip6`, { each, family: 'ip6', address: `::%${each.name}` })
    }
    for (const [id, { key }] of this.#open) if (wanted.get(id)?.address !== key) this.#close(id)
    const now = this.#init.clock.now()
    for (const [id, until] of this.#failed) if (until <= now || !wanted.has(id)) this.#failed.delete(id)
    const ready = new Map<string, LanInterface>()
    for (const [id, { each, family, address }] of wanted) {
      const open = this.#open.get(id)
      if (open?.isReady === true) ready.set(id, each)
      else if (open === undefined && !this.#failed.has(id)) this.#openLink(id, family, each.name, address)
    }
    return ready
  }

  /** Sends to the group of the link, or to one address. A packet that cannot be sent is lost, as any may be. */
  send(link: string, bytes: Uint8Array, to: LanSource | null): void {
    const open = this.#open.get(link)
    if (open?.isReady !== true) return
    const name = link.slice(0, link.lastIndexOf('/'))
    const group = open.family === 'ip6' ? `${GROUP.ip6}%${name}` : GROUP.ip4
    open.socket.send(bytes, to?.port ?? MULTICAST_PORT, to?.address ?? group, (error) => {
      // A full queue or an unreachable asker is the weather; a link that went away shows at the next look.
      if (
        error !== null &&
        !/^(ENETUNREACH|ENETDOWN|EHOSTUNREACH|EADDRNOTAVAIL|ENODEV|EPERM|ENOBUFS|EACCES)$/.test(
          String((error as NodeJS.ErrnoException).code),
        )
      )
        this.#fail(link, error)
    })
  }

  /** Closes all, after what was sent has left. */
  async close(): Promise<void> {
    await new Promise((sent) => void setImmediate(sent))
    for (const id of this.#open.keys()) this.#close(id)
  }

  #openLink(id: string, family: Family, name: string, address: string): void {
    const socket = createSocket({
      type: family === 'ip4' ? 'udp4' : 'udp6',
      reuseAddr: true,
      ipv6Only: family === 'ip6',
    })
    const link: OpenLink = { socket, family, key: address, isReady: false }
    this.#open.set(id, link)
    socket.unref()
    socket.on('error', (error) => this.#fail(id, error))
    socket.on('message', (bytes: Buffer, from: RemoteInfo) =>
      this.#init.onPacket(id, Uint8Array.from(bytes), { address: from.address, port: from.port }),
    )
    const group = family === 'ip4' ? GROUP.ip4 : `${GROUP.ip6}%${name}`
    const options =
      process.platform === 'win32' ? { port: MULTICAST_PORT } : { port: MULTICAST_PORT, address: group }
    socket.bind(options, () => {
      try {
        socket.addMembership(GROUP[family], address)
        socket.setMulticastInterface(address)
        socket.setMulticastTTL(MULTICAST_TTL)
        socket.setMulticastLoopback(true) // other nodes and programs on this machine
      } catch (error) {
        this.#fail(id, error as Error)
        return
      }
      link.isReady = true
      this.#init.onReady()
    })
  }

  #close(id: string): void {
    const open = this.#open.get(id)
    this.#open.delete(id)
    open?.socket.removeAllListeners('message')
    open?.socket.close()
  }

  #fail(id: string, error: Error): void {
    if (!this.#open.has(id)) return // closed on purpose while something was under way
    this.#close(id)
    this.#failed.set(id, this.#init.clock.now() + LINK_RETRY_MS)
    if (this.#told.has(id) || this.#told.size >= LAN_LINKS_MAX) return
    this.#told.add(id)
    const failure = new BootstrapError('lan-unavailable', `${id}: ${error.message}`, { cause: error })
    this.#init.emit({
      kind: 'lan.unavailable',
      severity: 'info',
      reason: failure.code,
      text: failure.message,
    })
  }
}
