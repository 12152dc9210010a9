import type { AbortOptions, ConnectionProtector, MessageStream } from '@libp2p/interface'
import { byteStream } from '@libp2p/utils'
import { compareBytes, concat } from '../../protocols/common/bytes.ts'
import type { EmitEvent } from '../../protocols/common/ports.ts'

/** What every libp2p dialler says first, with its length before it. */
const GREETING = new TextEncoder().encode('\u0013/multistream/1.0.0\n')

/**
 * Keeps strangers from hearing anything. libp2p's negotiation greets whoever speaks it, lists our protocols (and with them
 * the mesh) to who asks `ls`, and tells nobody of those it turned away. So an accepted connection must begin, unasked, with the
 * greeting and one of our protocols, as our own diallers do; any other is closed without a byte and becomes a
 * `connection.refused` event. libp2p calls this hook for private networks, before anything else reads the connection.
 * @param protocols ids of our channels, below 128 characters.
 */
export function strangerGuard(protocols: readonly string[], emit: EmitEvent): () => ConnectionProtector {
  const openings = protocols.map((protocol) => {
    const line = new TextEncoder().encode(`${protocol}\n`)
    return concat(GREETING, concat(Uint8Array.of(line.length), line))
  })
  return () => ({
    async protect(connection, options) {
      if (connection.direction === 'outbound') return connection
      try {
        await readOpening(connection, openings, options)
        return connection
      } catch (error) {
        connection.abort(error as Error)
        emit({
          kind: 'connection.refused',
          severity: 'notice',
          reason: 'stranger-refused',
          text: (error as Error).message,
          fields: { from: 'remoteAddr' in connection ? String(connection.remoteAddr) : '' },
        })
        throw error
      }
    },
  })
}

/** Reads until an opening is whole and puts everything back. @throws Error at the first byte that fits none. */
async function readOpening(
  connection: MessageStream,
  openings: readonly Uint8Array[],
  options: AbortOptions | undefined,
): Promise<void> {
  const bytes = byteStream(connection)
  let read: Uint8Array = new Uint8Array(0)
  const fits = (opening: Uint8Array): boolean => {
    const length = Math.min(opening.length, read.length)
    return compareBytes(opening.subarray(0, length), read.subarray(0, length)) === 0
  }
  for (;;) {
    const chunk = await bytes.read(options)
    if (chunk === null) throw new Error('it ended before it said anything whole')
    read = concat(read, chunk.subarray())
    const possible = openings.filter(fits)
    if (possible.length === 0) throw new Error('it speaks no protocol of this mesh')
    if (possible.some(({ length }) => length <= read.length)) break
  }
  bytes.unwrap()
  connection.unshift(read)
}
