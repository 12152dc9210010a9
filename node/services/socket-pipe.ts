import { Duplex } from 'node:stream'
import type { BytePipe } from '../../protocols/tunnel/handshake.ts'

/** Bytes a `pipeDuplex` holds before it stops pulling; one muxer window is refilled behind it. */
const DUPLEX_HIGH_WATER_BYTES = 64 * 1024

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

/** A pipe as a Node stream, for node:http. Half-close works both ways. */
export function pipeDuplex(pipe: BytePipe): Duplex {
  const iterator = pipe.source[Symbol.asyncIterator]()
  /** The chunk being sent and the callback that asks node for the next one. */
  let handOver = Promise.withResolvers<{ chunk: Uint8Array | null; taken: (error?: Error) => void }>()
  const stream = new Duplex({
    highWaterMark: DUPLEX_HIGH_WATER_BYTES,
    read() {
      iterator.next().then(
        (next) => void this.push(next.done === true ? null : next.value),
        (error: Error) => void this.destroy(error),
      )
    },
    write(chunk: Uint8Array, _encoding, callback) {
      handOver.resolve({ chunk, taken: callback })
    },
    final(callback) {
      handOver.resolve({ chunk: null, taken: callback })
    },
    destroy(error, callback) {
      if (!(this.readableEnded && this.writableFinished))
        pipe.abort(error ?? new Error('the local connection closed'))
      callback(error)
    },
  })
  async function* outgoing(): AsyncGenerator<Uint8Array> {
    for (;;) {
      const { chunk, taken } = await handOver.promise
      handOver = Promise.withResolvers()
      if (chunk === null) return taken()
      yield chunk
      taken()
    }
  }
  pipe.sink(outgoing()).catch((error: Error) => stream.destroy(error))
  return stream
}
