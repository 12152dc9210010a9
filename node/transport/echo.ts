import { equalBytes } from '../../protocols/common/bytes.ts'
import type { Random } from '../../protocols/common/ports.ts'
import type { ListedMuxer, MuxRegistry } from '../../protocols/mux/registry.ts'

/** What an echo carries. */
const ECHO_BYTES = 16
/** Echoes of one peer that are answered at once. */
const ECHOES_MAX = 8

/** Protocol of an echo: 16 bytes there and back, over one very connection. */
export function echoProtocol(id8: string): string {
  return `/kith/${id8}/echo/1`
}

/** Answers the echoes of others. */
export function serveEchoes(muxes: MuxRegistry, protocol: string): void {
  const open = new Map<string, number>()
  muxes.handle(protocol, (channel, peerId) => {
    const count = open.get(peerId) ?? 0
    if (count >= ECHOES_MAX) return channel.reset()
    open.set(peerId, count + 1)
    let leftBytes = ECHO_BYTES
    let isDone = false
    const done = (): void => {
      if (isDone) return
      isDone = true
      const others = (open.get(peerId) ?? 1) - 1
      if (others === 0) open.delete(peerId)
      else open.set(peerId, others)
    }
    channel.use({
      onData(bytes) {
        leftBytes -= bytes.length
        if (leftBytes < 0) {
          done()
          return channel.reset()
        }
        channel.consumed(bytes.length)
        channel.write(bytes)
      },
      onEnd() {
        done()
        channel.end()
      },
      onReset: done,
      onDrain: () => undefined,
    })
  })
}

/** Asks the other side over this very connection; `answered` is told when it does, and never otherwise. */
export function askEcho(
  { muxer }: ListedMuxer,
  protocol: string,
  random: Random,
  answered: () => void,
): void {
  const sent = random.bytes(ECHO_BYTES)
  let got: Uint8Array = new Uint8Array(0)
  try {
    const channel = muxer.open(protocol)
    channel.use({
      onData(bytes) {
        got = Buffer.concat([got, bytes])
        channel.consumed(bytes.length)
        if (got.length === ECHO_BYTES && equalBytes(got, sent)) answered()
        if (got.length >= ECHO_BYTES) channel.reset()
      },
      onEnd: () => channel.reset(),
      onReset: () => undefined,
      onDrain: () => undefined,
    })
    channel.write(sent)
    channel.end()
  } catch {
    // The connection ended meanwhile, which is told by itself.
  }
}
