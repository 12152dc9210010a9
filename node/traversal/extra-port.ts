import { once } from 'node:events'
import { createServer, type Server, type Socket } from 'node:net'
import type { Timers } from '../../protocols/common/ports.ts'
import { EXTRA_PORT_IDLE_MS } from '../../protocols/traversal/limits.ts'

/** The second port of a reflector: there while it is asked for. */
export class ExtraPort {
  readonly #timers: Timers
  readonly #onAccepted: (socket: Socket) => void
  #opening: Promise<Server | null> | null = null
  #cancel: () => void = () => undefined

  constructor(timers: Timers, onAccepted: (socket: Socket) => void) {
    this.#timers = timers
    this.#onAccepted = onAccepted
  }

  /** Its number; opens it when it is not open, and keeps it for another while. Null where no port can be had. */
  async wanted(): Promise<number | null> {
    this.#cancel()
    this.#cancel = this.#timers.after(EXTRA_PORT_IDLE_MS, () => void this.close())
    this.#opening ??= openServer(this.#onAccepted)
    const address = (await this.#opening)?.address()
    return typeof address === 'object' && address !== null ? address.port : null
  }

  /** Listens no more; connections stay. */
  async close(): Promise<void> {
    this.#cancel()
    const opening = this.#opening
    this.#opening = null
    const server = await opening
    server?.close()
  }
}

/** Both families; only IPv4 where the machine has no other. */
async function openServer(onAccepted: (socket: Socket) => void): Promise<Server | null> {
  for (const host of ['::', '0.0.0.0']) {
    const server = createServer({ noDelay: true }, onAccepted).listen({ port: 0, host })
    try {
      await once(server, 'listening')
      server.on('error', () => undefined) // one connection that cannot be taken, as when descriptors run out
      return server
    } catch {
      server.close()
    }
  }
  return null
}
