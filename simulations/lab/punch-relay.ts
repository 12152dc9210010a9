import { once } from 'node:events'
import { createServer, type Socket } from 'node:net'
import { fromHex, toHex } from '../../protocols/common/bytes.ts'
import { Reflector } from '../../node/traversal/reflector.ts'
import { ipBytes } from '../../bootstrap/ip-bytes.ts'
import { steadyClock, systemRandom, systemTimers } from '../../node/system-ports.ts'
import { JsonLines } from './json-lines.ts'

/*
 * A relay without libp2p, for the lab's punches: carries messages between two ends, and is a reflector at each of its addresses.
 *   punch-relay.ts ADDRESS OTHER_ADDRESS   until it is ended; prints `ready`
 */

/** Where ends connect to, and where raw connections ask from where they are seen. */
export const RELAY_PORTS = { exchange: 4000, reflect: 4001 } as const

/** What an end says. */
export type ToRelay =
  | { readonly type: 'hello'; readonly name: string }
  /** One message of the exchange with this number; null: the stream of it ends. */
  | Carried
  | { readonly type: 'ask'; readonly n: number; readonly reflector: number; readonly hex: string }

/** A message between two ends. `isKnown`: both tell how they stand. */
export interface Carried {
  readonly type: 'carry'
  readonly to: string
  readonly from: string
  readonly attempt: number
  readonly isKnown: boolean
  readonly hex: string | null
}

/** What an end hears. */
export type FromRelay = Carried | { readonly type: 'answer'; readonly n: number; readonly hex: string }

async function serve(addresses: readonly string[]): Promise<void> {
  const ends = new Map<string, JsonLines<FromRelay, ToRelay>>()
  const reflectors = await Promise.all(addresses.map(startReflector))
  const meet = (socket: Socket): void => {
    const from = ipBytes(socket.remoteAddress ?? '') ?? null
    let name = ''
    const lines = new JsonLines<FromRelay, ToRelay>(
      socket,
      (message) => void hear(message),
      () => ends.delete(name),
    )
    const hear = async (message: ToRelay): Promise<void> => {
      if (message.type === 'hello') {
        name = message.name
        ends.set(name, lines)
      } else if (message.type === 'carry') ends.get(message.to)?.send(message)
      else {
        const { n, reflector, hex } = message
        const answer = reflectors[reflector]?.answer(name, from, fromHex(hex), new AbortController().signal)
        if (answer !== undefined) lines.send({ type: 'answer', n, hex: toHex(await answer) })
      }
    }
  }
  const server = createServer(meet).listen(RELAY_PORTS.exchange, addresses[0])
  await once(server, 'listening')
}

async function startReflector(localAddress: string): Promise<Reflector> {
  const ports = { clock: steadyClock, timers: systemTimers, random: systemRandom }
  const reflector = new Reflector({ ...ports, hasExtraPort: true, localAddress })
  const server = createServer((socket) => reflector.raw.accept(socket))
  await once(server.listen(RELAY_PORTS.reflect, localAddress), 'listening')
  return reflector
}

if (import.meta.main) {
  await serve(process.argv.slice(2))
  process.stdout.write('ready\n')
}
