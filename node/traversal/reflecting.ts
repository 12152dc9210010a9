import type { Socket } from 'node:net'
import { ipKey, type Endpoint } from '../../protocols/traversal/endpoint.ts'
import type { ReflectorPlace } from '../../protocols/traversal/public-places.ts'
import type { View } from '../../protocols/traversal/classify.ts'
import { MalformedError } from '../../protocols/common/errors.ts'
import type { Timers } from '../../protocols/common/ports.ts'
import {
  decodeReflection,
  encodeRawOpening,
  REFLECT_KIND,
  REFLECTION_BYTES,
  reflectAnswerFormat,
  reflectRequestFormat,
  type ReflectAnswer,
} from '../../protocols/traversal/reflect-wire.ts'
import { takeFirstBytes } from './first-bytes.ts'
import type { FreshPort } from './fresh-port.ts'

/** Asks a member over a secured connection and gives its answer. Rejects when it is not reached or `signal` aborts. */
export type AskReflector = (peer: string, request: Uint8Array, signal: AbortSignal) => Promise<Uint8Array>

/** Asked for one punch: the relay, and another in case it lies or is away. */
export const PLACES_MAX = 2
/** After the first view the others have so long: a second address is worth less than time. */
const LATE_MS = 50

/** Tickets of a reflector, and its second port. */
export interface Tickets {
  readonly tickets: readonly Uint8Array[]
  readonly extraPort: number | null
}

/** Asks a reflector. @throws MalformedError when it answers something else; the asking's own error. */
export async function askReflector(
  ask: AskReflector,
  peer: string,
  request: Parameters<typeof reflectRequestFormat.encode>[0],
  signal: AbortSignal,
): Promise<ReflectAnswer> {
  return reflectAnswerFormat.decode(await ask(peer, reflectRequestFormat.encode(request), signal))
}

/** Asks for tickets. @throws MalformedError when there are none. */
export async function askTickets(
  ask: AskReflector,
  peer: string,
  count: number,
  wantsExtraPort: boolean,
  signal: AbortSignal,
): Promise<Tickets> {
  const answer = await askReflector(ask, peer, { kind: REFLECT_KIND.tickets, count, wantsExtraPort }, signal)
  if (answer.kind === REFLECT_KIND.tickets) return answer
  const what = answer.kind === REFLECT_KIND.refused ? answer.code : `kind ${answer.kind}`
  throw new MalformedError(`${peer} gave no tickets: ${what}`)
}

/**
 * Connects a port to a reflector and hears from where it is seen. The connection stays until the port closes. The ticket may
 * still be under way while the connection is made, which saves a round trip.
 */
export async function reflect(
  port: FreshPort,
  reflector: Endpoint,
  ticket: Promise<Uint8Array>,
  signal: AbortSignal,
  onConnected: (socket: Socket) => void = () => undefined,
): Promise<View> {
  const socket = port.connect(reflector)
  const [token] = await Promise.all([unlessAborted(ticket, signal), untilConnected(socket, signal)])
  onConnected(socket)
  const answered = firstBytesOf(socket, REFLECTION_BYTES, signal)
  socket.write(encodeRawOpening({ kind: 'reflection', token }))
  return { reflector, outside: decodeReflection(await answered) }
}

/**
 * From where reflectors see a port that was opened for a punch, the first ones of the list that is best. @throws Error when none
 * of them says it.
 */
export async function reflectFrom(
  port: FreshPort,
  places: readonly ReflectorPlace[],
  ask: AskReflector,
  timers: Timers,
  signal: AbortSignal,
): Promise<readonly Endpoint[]> {
  const asked = differentAddresses(places, PLACES_MAX)
  if (asked.length === 0) throw new Error('no reflector is known')
  const seen: Endpoint[] = []
  const all = asked.map(async ({ peer, endpoint }) => {
    const ticket = askTickets(ask, peer, 1, false, signal).then(({ tickets }) => tickets[0] as Uint8Array)
    seen.push((await reflect(port, endpoint, ticket, signal)).outside)
  })
  await Promise.any(all).catch((error: AggregateError) => {
    throw error.errors[0]
  })
  const late = Promise.withResolvers<void>()
  const cancel = timers.after(LATE_MS, late.resolve)
  await Promise.race([Promise.allSettled(all), late.promise])
  cancel()
  return [...seen]
}

/** The first places of the list that are at different addresses. */
export function differentAddresses(
  places: readonly ReflectorPlace[],
  count: number,
): readonly ReflectorPlace[] {
  const chosen = new Map<string, ReflectorPlace>()
  for (const place of places) {
    const key = ipKey(place.endpoint.ip)
    if (chosen.size < count && !chosen.has(key)) chosen.set(key, place)
  }
  return [...chosen.values()]
}

/** The value, or the reason of `signal`. */
function unlessAborted<T>(value: Promise<T>, signal: AbortSignal): Promise<T> {
  return new Promise((resolve, reject) => {
    const abort = (): void => reject(signal.reason as Error)
    signal.addEventListener('abort', abort)
    if (signal.aborted) abort()
    value.then(resolve, reject).finally(() => signal.removeEventListener('abort', abort))
  })
}

function untilConnected(socket: Socket, signal: AbortSignal): Promise<void> {
  return settled(socket, signal, (done) => void socket.once('connect', () => done()))
}

function firstBytesOf(socket: Socket, count: number, signal: AbortSignal): Promise<Uint8Array> {
  return settled(socket, signal, (done) => void takeFirstBytes(socket, count, done))
}

/** Waits for one thing of a socket; rejects when it closes before, or `signal` aborts. */
function settled<T>(
  socket: Socket,
  signal: AbortSignal,
  wait: (done: (value: T) => void) => void,
): Promise<T> {
  return new Promise((resolve, reject) => {
    const closed = (): void => end(() => reject(new Error('the reflector closed the connection')))
    const failed = (error: Error): void => end(() => reject(error))
    const aborted = (): void => end(() => reject(signal.reason as Error))
    const end = (settle: () => void): void => {
      socket.off('close', closed).off('error', failed)
      signal.removeEventListener('abort', aborted)
      settle()
    }
    socket.on('close', closed).on('error', failed)
    signal.addEventListener('abort', aborted)
    wait((value) => end(() => resolve(value)))
    if (socket.destroyed) closed()
    if (signal.aborted) aborted()
  })
}
