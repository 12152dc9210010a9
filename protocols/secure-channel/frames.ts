import type { MessageStream, StreamMessageEvent } from '@libp2p/interface'
import { concat } from '../common/bytes.ts'
import { ChannelError } from './errors.ts'
import { HANDSHAKE_MESSAGE_MAX_BYTES } from './limits.ts'

const LENGTH_BYTES = 2

/** Sends one handshake message: length u16 | message. @throws ChannelError `handshake-closed`. */
export function sendFrame(stream: MessageStream, message: Uint8Array): void {
  if (message.length > HANDSHAKE_MESSAGE_MAX_BYTES)
    throw new Error(`handshake message of ${message.length} bytes`)
  sendBytes(stream, concat(Uint8Array.of(message.length >> 8, message.length & 0xff), message))
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
  return new Promise((resolve, reject) => {
    let collected: Uint8Array = new Uint8Array(0)
    const settle = (): void => {
      stream.removeEventListener('message', onMessage)
      stream.removeEventListener('close', onClose)
      stream.removeEventListener('remoteCloseWrite', onClose)
      signal?.removeEventListener('abort', onAbort)
    }
    const fail = (code: string, text: string, cause?: unknown): void => {
      settle()
      reject(new ChannelError(code, text, { cause }))
    }
    const onMessage = (event: StreamMessageEvent): void => {
      const size = collected.length + event.data.byteLength
      if (size > LENGTH_BYTES + HANDSHAKE_MESSAGE_MAX_BYTES) {
        return fail(
          'handshake-oversize',
          `More than ${HANDSHAKE_MESSAGE_MAX_BYTES} bytes in a handshake message`,
        )
      }
      collected = concat(collected, event.data.subarray())
      if (size < LENGTH_BYTES) return
      const expected = LENGTH_BYTES + (collected[0] ?? 0) * 256 + (collected[1] ?? 0)
      if (expected > LENGTH_BYTES + HANDSHAKE_MESSAGE_MAX_BYTES || size > expected) {
        return fail(
          'handshake-oversize',
          `Handshake message of ${expected - LENGTH_BYTES} bytes in ${size} bytes`,
        )
      }
      if (size < expected) return
      settle()
      resolve(collected.subarray(LENGTH_BYTES))
    }
    const onClose = (event?: Event): void => {
      const cause = event !== undefined && 'error' in event ? event.error : undefined
      fail('handshake-closed', 'The other side closed the connection during the handshake', cause)
    }
    const onAbort = (): void => fail('handshake-timeout', 'The handshake took too long', signal?.reason)
    stream.addEventListener('message', onMessage)
    stream.addEventListener('close', onClose)
    stream.addEventListener('remoteCloseWrite', onClose)
    signal?.addEventListener('abort', onAbort)
    if (signal?.aborted === true) onAbort()
    else if (stream.status !== 'open') onClose()
  })
}
