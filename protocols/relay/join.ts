import type { ByteChannel } from '../mux/channel.ts'

/** One direction of a join: what one channel gave and the other has not taken yet. */
interface Direction {
  owedBytes: number
  hasEnded: boolean
}

/** Two channels that were joined. */
export interface Joined {
  /** Bytes carried, both ways. */
  readonly bytes: number
  /** Gives both up. */
  cut(): void
}

/**
 * Joins two channels until both directions ended or either was given up. Each side is held back by the other's window: nothing
 * is kept here but what the windows allow. `first`: what `one` gave before. `onClosed` is told once, `onFirstBack` when `other`
 * says its first bytes.
 */
export function joinChannels(
  one: ByteChannel,
  other: ByteChannel,
  first: readonly Uint8Array[],
  { onClosed, onFirstBack }: { onClosed: () => void; onFirstBack: () => void },
): Joined {
  const there: Direction = { owedBytes: 0, hasEnded: false }
  const back: Direction = { owedBytes: 0, hasEnded: false }
  const state = { bytes: 0, isClosed: false, isAnswered: false }
  const close = (): void => {
    if (state.isClosed) return
    state.isClosed = true
    onClosed()
  }
  const pass = (from: ByteChannel, to: ByteChannel, way: Direction, bytes: Uint8Array): void => {
    if (way === back && !state.isAnswered) {
      state.isAnswered = true
      onFirstBack()
    }
    state.bytes += bytes.length
    if (to.write(bytes)) from.consumed(bytes.length)
    else way.owedBytes += bytes.length
  }
  const carry = (from: ByteChannel, to: ByteChannel, way: Direction, opposite: Direction): void =>
    from.use({
      onData: (bytes) => pass(from, to, way, bytes),
      onEnd() {
        way.hasEnded = true
        to.end()
        if (opposite.hasEnded) close()
      },
      onReset() {
        to.reset()
        close()
      },
      onDrain() {
        // This side takes bytes again: they are the other direction's.
        const { owedBytes } = opposite
        opposite.owedBytes = 0
        to.consumed(owedBytes)
      },
    })
  // The other first: what waits in the one is to find it ready.
  carry(other, one, back, there)
  for (const bytes of first) pass(one, other, there, bytes)
  carry(one, other, there, back)
  return {
    get bytes() {
      return state.bytes
    },
    cut() {
      one.reset()
      other.reset()
      close()
    },
  }
}
