import { createSocket, type Socket } from 'node:dgram'
import { once } from 'node:events'
import { PortMappingError } from './errors.ts'
import { UDP_TRIES, UDP_WAIT_FIRST_MS } from './limits.ts'

/** A UDP socket that is connected, so that the kernel drops what others than the gateway send. */
export interface UdpQuestion {
  /** This host's address towards the gateway. */
  readonly ownAddress: string
  /**
   * Sends until `read` takes an answer; what it returns null for belongs to another question and is passed over.
   * @throws PortMappingError `mapping-none` when nothing came, and what `read` throws.
   */
  ask<T>(bytes: Uint8Array, read: (answer: Uint8Array) => T | null): Promise<T>
}

/** Opens a socket to the gateway for as long as `use` runs. */
export async function withUdp<T>(
  gateway: string,
  port: number,
  signal: AbortSignal,
  use: (question: UdpQuestion) => Promise<T>,
): Promise<T> {
  signal.throwIfAborted()
  const socket = createSocket('udp4')
  // Between two questions nobody listens; what went wrong then shows in the next one.
  socket.on('error', () => undefined)
  try {
    socket.connect(port, gateway)
    await once(socket, 'connect', { signal })
    return await use({
      ownAddress: socket.address().address,
      ask: (bytes, read) => ask(socket, bytes, read, signal),
    })
  } catch (error) {
    if (error instanceof PortMappingError || signal.aborted) throw error
    throw new PortMappingError('mapping-none', `cannot ask ${gateway}:${port}`, { cause: error })
  } finally {
    socket.close()
  }
}

function ask<T>(
  socket: Socket,
  bytes: Uint8Array,
  read: (answer: Uint8Array) => T | null,
  signal: AbortSignal,
): Promise<T> {
  return new Promise<T>((done, fail) => {
    let timer: NodeJS.Timeout
    let tries = 0
    const end = (finish: () => void): void => {
      clearTimeout(timer)
      signal.removeEventListener('abort', onAbort)
      socket.removeAllListeners('message').off('error', silent)
      finish()
    }
    const onAbort = (): void => end(() => fail(signal.reason as Error))
    const silent = (cause?: Error): void =>
      end(() => fail(new PortMappingError('mapping-none', 'the router does not answer', { cause })))
    const send = (): void => {
      if (tries === UDP_TRIES) return silent()
      socket.send(bytes)
      timer = setTimeout(send, UDP_WAIT_FIRST_MS * 2 ** tries++)
    }
    signal.addEventListener('abort', onAbort)
    // The router says that nothing listens there.
    socket.on('error', silent)
    socket.on('message', (message) => {
      try {
        const answer = read(Uint8Array.from(message))
        if (answer !== null) end(() => done(answer))
      } catch (error) {
        end(() => fail(error))
      }
    })
    send()
  })
}
