import type { Socket } from 'node:net'

/**
 * Takes exactly the first `count` bytes of a socket that nobody reads; what follows stays in it, and it is paused after. Called
 * with nothing where the socket ends before: its `close` tells. Returns what stops waiting.
 */
export function takeFirstBytes(
  socket: Socket,
  count: number,
  onBytes: (bytes: Uint8Array) => void,
): () => void {
  const stop = (): void => void socket.off('readable', take)
  const take = (): void => {
    const bytes = socket.read(count) as Buffer | null
    // At the end of a stream `read` gives what there is.
    if (bytes === null || bytes.length !== count) return
    stop()
    onBytes(Uint8Array.from(bytes))
  }
  socket.on('readable', take)
  return stop
}
