import type { MessageStream, StreamMessageEvent } from '@libp2p/interface'
import { concat } from '../common/bytes.ts'
import { ChannelError } from './errors.ts'
import { HANDSHAKE_MESSAGE_MAX_BYTES } from './limits.ts'
import { decodeOpening, OPENING_BYTES, type Purpose } from './wire.ts'

const LENGTH_BYTES = 2

/** Sends one handshake message: length u16 | message, behind an `opening`. @throws ChannelError `handshake-closed`. */
export function sendFrame(
  stream: MessageStream,
  message: Uint8Array,
  opening: Uint8Array = new Uint8Array(0),
): void {
  if (message.length > HANDSHAKE_MESSAGE_MAX_BYTES)
    throw new Error(`handshake message of ${message.length} bytes`)
  sendBytes(stream, concat(opening, Uint8Array.of(message.length >> 8, message.length & 0xff), message))
}

/** Sends and turns libp2p's refusal to write on a closed stream into ours. @throws ChannelError `handshake-closed`. */
export function sendBytes(stream: MessageStream, bytes: Uint8Array): void {
  try {
    stream.send(bytes)
  } catch (cause) {
    throw new ChannelError('handshake-closed', 'The connection closed during the handshake', { cause })
  }
}

/**
 * Waits for one handshake message. Neither side may send anything behind its message before it got an answer, so bytes behind
 * it are refused instead of stored: an unknown peer can make us keep 8 KiB and no more.
 * @throws ChannelError `handshake-oversize`, `handshake-closed`, `handshake-timeout` (when `signal` aborts).
 */
export function readFrame(stream: MessageStream, signal: AbortSignal | undefined): Promise<Uint8Array> {
  return collect(stream, signal, (collected) => frameAt(collected, 0))
}

/** How an accepted connection begins. */
export type Opening =
  | { readonly purpose: Purpose; readonly message: Uint8Array }
  /** It speaks libp2p's negotiation; these are its first bytes. */
  | { readonly purpose: 'multistream'; readonly message: Uint8Array }
  /** It speaks about addresses (`protocols/traversal`); these are its first bytes. */
  | { readonly purpose: 'raw'; readonly message: Uint8Array }

/**
 * Waits for the opening and first message of a connection. @throws ChannelError like `readFrame`, and `stranger-refused` at
 * the first byte that fits nothing.
 */
export function readOpening(stream: MessageStream, signal: AbortSignal | undefined): Promise<Opening> {
  return collect(stream, signal, (collected) => {
    const purpose = decodeOpening(collected)
    if (purpose === 'multistream' || purpose === 'raw') return { purpose, message: collected }
    if (purpose === undefined) return undefined
    const message = frameAt(collected, OPENING_BYTES)
    return message === undefined ? undefined : { purpose, message }
  })
}

/** The message at `at`, when it is whole. @throws ChannelError `handshake-oversize` */
function frameAt(collected: Uint8Array, at: number): Uint8Array | undefined {
  if (collected.length < at + LENGTH_BYTES) return undefined
  const length = (collected[at] ?? 0) * 256 + (collected[at + 1] ?? 0)
  const end = at + LENGTH_BYTES + length
  if (length > HANDSHAKE_MESSAGE_MAX_BYTES || collected.length > end) {
    throw new ChannelError(
      'handshake-oversize',
      `Handshake message of ${length} bytes in ${collected.length - at} bytes`,
    )
  }
  return collected.length < end ? undefined : collected.subarray(at + LENGTH_BYTES)
}

/** Collects bytes until `parse` makes something of them, or throws. */
function collect<T>(
  stream: MessageStream,
  signal: AbortSignal | undefined,
  parse: (collected: Uint8Array) => T | undefined,
): Promise<T> {
  return new Promise((resolve, reject) => {
    let collected: Uint8Array = new Uint8Array(0)
    const settle = (): void => {
      stream.removeEventListener('message', onMessage)
      stream.removeEventListener('close', onClose)
      stream.removeEventListener('remoteCloseWrite', onClose)
      signal?.removeEventListener('abort', onAbort)
    }
    const fail = (error: unknown): void => {
      settle()
      reject(error)
    }
    const onMessage = (event: StreamMessageEvent): void => {
      try {
        if (
          collected.length + event.data.byteLength >
          OPENING_BYTES + LENGTH_BYTES + HANDSHAKE_MESSAGE_MAX_BYTES
        ) {
          throw new ChannelError(
            'handshake-oversize',
            `More than ${HANDSHAKE_MESSAGE_MAX_BYTES} bytes in a handshake message`,
          )
        }
        collected = concat(collected, event.data.subarray())
        const parsed = parse(collected)
        if (parsed === undefined) return
        settle()
        resolve(parsed)
      } catch (error) {
        fail(error)
      }
    }
    const onClose = (event?: Event): void => {
      const cause = event !== undefined && 'error' in event ? event.error : undefined
      // Our own reason for cutting it says more than that it is closed.
      if (cause instanceof ChannelError) return fail(cause)
      fail(
        new ChannelError('handshake-closed', 'The other side closed the connection during the handshake', {
          cause,
        }),
      )
    }
    const onAbort = (): void =>
      fail(new ChannelError('handshake-timeout', 'The handshake took too long', { cause: signal?.reason }))
    stream.addEventListener('message', onMessage)
    stream.addEventListener('close', onClose)
    stream.addEventListener('remoteCloseWrite', onClose)
    signal?.addEventListener('abort', onAbort)
    if (signal?.aborted === true) onAbort()
    else if (stream.status !== 'open') onClose()
  })
}
