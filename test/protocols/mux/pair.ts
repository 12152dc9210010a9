import type { Channel } from '../../../protocols/mux/channel.ts'
import { Mux, type MuxInit } from '../../../protocols/mux/machine.ts'

/** Two multiplexers joined in memory, the dialling side first. */
export interface MuxPair {
  readonly near: Mux
  readonly far: Mux
  /** Channels the dialling side opened, as the other sees them, in order. */
  readonly accepted: Channel[]
  /** Hands over everything that waits, both ways, until nothing does; `cut` says how many bytes at a time. */
  settle(cut?: () => number): void
  /** Bytes that wait, to the far side and to the near one. */
  readonly wire: { toFar: Uint8Array[]; toNear: Uint8Array[] }
}

/** Nothing moves before `settle`, or by itself when `isLive`. */
export function muxPair(
  options: { isLive?: boolean; onChannel?: (channel: Channel) => void } & Partial<MuxInit> = {},
): MuxPair {
  const wire: MuxPair['wire'] = { toFar: [], toNear: [] }
  const accepted: Channel[] = []
  const { isLive = false, onChannel = (channel: Channel) => void accepted.push(channel), ...init } = options
  const side = (initiator: boolean, queue: Uint8Array[]): Mux =>
    new Mux({
      initiator,
      send(bytes) {
        queue.push(bytes)
        if (isLive) setImmediate(() => pair.settle())
      },
      isWritable: () => true,
      now: () => 0,
      rttMs: 0,
      onChannel,
      onGoAway: () => undefined,
      ...init,
    })
  const hand = (queue: Uint8Array[], to: Mux, cut: () => number): void => {
    let bytes: Uint8Array = Buffer.concat(queue.splice(0))
    while (bytes.length > 0) {
      const size = Math.max(1, cut())
      to.receive(bytes.subarray(0, size))
      bytes = bytes.subarray(size)
    }
  }
  const pair: MuxPair = {
    near: side(true, wire.toFar),
    far: side(false, wire.toNear),
    accepted,
    wire,
    settle(cut = () => Number.MAX_SAFE_INTEGER) {
      while (wire.toFar.length + wire.toNear.length > 0) {
        hand(wire.toFar, pair.far, cut)
        hand(wire.toNear, pair.near, cut)
      }
    },
  }
  return pair
}

/** One channel of its own connection that moves by itself, the opening side first. */
export function channelPair(): [near: Channel, far: Channel] {
  const pair = muxPair({ isLive: true })
  const near = pair.near.open('p')
  pair.settle()
  const [far] = pair.accepted
  if (far === undefined) throw new Error('the channel was not accepted')
  return [near, far]
}
