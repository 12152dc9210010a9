import { MuxError } from './errors.ts'
import type { Channel } from './channel.ts'
import type { ChannelHandler, ChannelMuxer } from './service.ts'

/** The muxers of one node by peer, and who takes the channels that are no libp2p streams. */
export class MuxRegistry {
  readonly handlers = new Map<string, ChannelHandler>()
  readonly #muxers = new Map<string, ChannelMuxer[]>()

  /** Hands the channels of `protocol` to `handler`, in connections made from now on and before. */
  handle(protocol: string, handler: ChannelHandler): void {
    this.handlers.set(protocol, handler)
  }

  /** Lists a muxer; call the result when it ended. */
  add(peerId: string, muxer: ChannelMuxer): () => void {
    const muxers = this.#muxers.get(peerId) ?? []
    this.#muxers.set(peerId, [...muxers, muxer])
    return () => {
      const left = (this.#muxers.get(peerId) ?? []).filter((other) => other !== muxer)
      if (left.length === 0) this.#muxers.delete(peerId)
      else this.#muxers.set(peerId, left)
    }
  }

  /** Whether a connection to the peer stands. */
  has(peerId: string): boolean {
    return this.#open(peerId) !== undefined
  }

  /** Opens a channel on a standing connection. @throws MuxError `mux-closed`, `too-many-channels`. */
  open(peerId: string, protocol: string): Channel {
    const muxer = this.#open(peerId)
    if (muxer === undefined) throw new MuxError('mux-closed', `No connection to ${peerId} stands`)
    return muxer.open(protocol)
  }

  #open(peerId: string): ChannelMuxer | undefined {
    return this.#muxers.get(peerId)?.find(({ status }) => status === 'open')
  }
}
