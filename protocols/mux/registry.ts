import { MuxError } from './errors.ts'
import type { Channel } from './channel.ts'
import type { ChannelHandler, ChannelMuxer } from './service.ts'

/** How a connection leads to its peer. */
export interface ConnectionPlace {
  /** Peer id of the relay it goes through; null: direct. */
  readonly via: string | null
  /** Multiaddr of the other end, or of the relay. */
  readonly remote: string
  /** Address of this end, as text; null where it has none of its own, as through a relay. */
  readonly local: string | null
  /** This node dialled. */
  readonly dialled: boolean
  /** Both sides dialled at once: `remote` is an endpoint nobody else can dial. */
  readonly isPunched: boolean
}

/** A muxer of the registry. */
export interface ListedMuxer extends ConnectionPlace {
  /** Unique in the process. */
  readonly id: string
  readonly peerId: string
  readonly muxer: ChannelMuxer
  /** Nothing came over it for too long: new channels use another where there is one. */
  isSilent: boolean
  /** Closes the connection in order; streams that are open are cut. */
  close(): void
  /** Cuts the connection at once: it is dead anyway. */
  cut(error: Error): void
}

/** Told of muxers that come and go. */
export interface MuxListener {
  added(listed: ListedMuxer): void
  removed(listed: ListedMuxer): void
}

/** The muxers of one node by peer, and who takes the channels that are no libp2p streams. */
export class MuxRegistry {
  readonly handlers = new Map<string, ChannelHandler>()
  /** The one new channels use first. */
  readonly #muxers = new Map<string, ListedMuxer[]>()
  readonly #listeners = new Set<MuxListener>()
  #nextId = 1

  /** Hands the channels of `protocol` to `handler`, in connections made from now on and before. */
  handle(protocol: string, handler: ChannelHandler): void {
    this.handlers.set(protocol, handler)
  }

  /** Tells of every muxer from now on; returns the way to stop it. */
  listen(listener: MuxListener): () => void {
    this.#listeners.add(listener)
    return () => this.#listeners.delete(listener)
  }

  /** Lists a muxer; call the result when it ended. */
  add(
    peerId: string,
    muxer: ChannelMuxer,
    place: ConnectionPlace,
    ends: Pick<ListedMuxer, 'close' | 'cut'>,
  ): () => void {
    const listed = { ...place, ...ends, id: String(this.#nextId++), peerId, muxer, isSilent: false }
    this.#muxers.set(peerId, [...(this.#muxers.get(peerId) ?? []), listed])
    for (const listener of this.#listeners) listener.added(listed)
    return () => {
      const left = (this.#muxers.get(peerId) ?? []).filter((other) => other !== listed)
      if (left.length === 0) this.#muxers.delete(peerId)
      else this.#muxers.set(peerId, left)
      for (const listener of this.#listeners) listener.removed(listed)
    }
  }

  /** Whether a connection to the peer stands, and is not silent. */
  has(peerId: string): boolean {
    return this.#open(peerId)?.isSilent === false
  }

  /** Open muxers of a peer, the one new channels use first; of all peers without one. */
  list(peerId?: string): ListedMuxer[] {
    const listed = peerId === undefined ? [...this.#muxers.values()].flat() : (this.#muxers.get(peerId) ?? [])
    return listed.filter(({ muxer }) => muxer.status === 'open')
  }

  /** New channels to the peer use this muxer first from now on; one that has ended changes nothing. */
  prefer({ peerId, id }: Pick<ListedMuxer, 'peerId' | 'id'>): void {
    const listed = this.#muxers.get(peerId) ?? []
    this.#muxers.set(
      peerId,
      listed.toSorted((a, b) => Number(b.id === id) - Number(a.id === id)),
    )
  }

  /** Opens a channel on a standing connection. @throws MuxError `mux-closed`, `too-many-channels`. */
  open(peerId: string, protocol: string): Channel {
    const listed = this.#open(peerId)
    if (listed === undefined) throw new MuxError('mux-closed', `No connection to ${peerId} stands`)
    return listed.muxer.open(protocol)
  }

  /** Opens a channel on a direct connection. @throws MuxError `mux-closed`, `too-many-channels`. */
  openDirect(peerId: string, protocol: string): Channel {
    const direct = this.list(peerId).filter(({ via }) => via === null)
    const listed = direct.find(({ isSilent }) => !isSilent) ?? direct[0]
    if (listed === undefined) throw new MuxError('mux-closed', `No direct connection to ${peerId} stands`)
    return listed.muxer.open(protocol)
  }

  #open(peerId: string): ListedMuxer | undefined {
    const listed = this.#muxers.get(peerId)
    const usable = listed?.find(({ muxer, isSilent }) => muxer.status === 'open' && !isSilent)
    return usable ?? listed?.find(({ muxer }) => muxer.status === 'open')
  }
}
