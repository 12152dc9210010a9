import type { Duplex } from 'node:stream'

/** A two-way byte stream of pull iterables; what `pipe(a, b, a)` of it-pipe joins. */
export interface BytePipe {
  readonly source: AsyncIterable<Uint8Array>
  /** Sends all of `source`, then closes the write half. Called once. */
  sink(source: AsyncIterable<Uint8Array>): Promise<void>
  /** Ends both directions at once; the other side sees a reset. */
  abort(error: Error): void
}

/**
 * A Node stream (socket) as a pair of pull iterables: reading holds the sender back by not pulling, writing waits for
 * drain, the end of one direction leaves the other open. The stream must have been made with `allowHalfOpen`.
 */
export function streamPipe(stream: Duplex): BytePipe {
  // Failures show in `source` and `sink`. One that comes when neither listens any more, such as a reset after the end, or our
  // own `abort`, must not end the process.
  stream.on('error', () => undefined)
  return {
    // By default the iterator destroys the whole stream at the end of its readable half.
    source: stream.iterator({ destroyOnReturn: false }),
    async sink(source) {
      for await (const chunk of source) {
        if (stream.destroyed) throw stream.errored ?? new Error('the local connection closed')
        // The buffer may belong to the muxer, but node:net copies nothing and writes before the next pull of a full stream.
        if (!stream.write(chunk)) await writable(stream)
      }
      stream.end()
    },
    abort(error) {
      stream.destroy(error)
    },
  }
}

/** Resolves when the stream takes bytes again, or is gone. */
function writable(stream: Duplex): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>()
  const done = (): void => {
    stream.off('drain', done)
    stream.off('close', done)
    resolve()
  }
  stream.on('drain', done)
  stream.on('close', done)
  if (stream.closed) done()
  return promise
}
