import type { Socket } from 'node:net'
import { toHex } from '../../protocols/common/bytes.ts'
import {
  decodeRawOpening,
  encodeRawOpening,
  RAW_OPENING_BYTES,
  rawOpeningKind,
} from '../../protocols/traversal/reflect-wire.ts'
import type { Timers } from '../../protocols/common/ports.ts'
import { takeFirstBytes } from './first-bytes.ts'

/** The first bytes leave in one packet; whoever is slower than three SYNs is broken or stalls. */
const OPENING_MS = 5_000
/** Raw connections whose first bytes are not there yet; of more the oldest is refused. */
export const WAITING_MAX = 64

/** What becomes of raw connections that are ours. Each takes the socket over, and closes it sooner or later. */
export interface RawHandlers {
  /** Somebody shows a ticket. False when it is none of ours. */
  reflection(socket: Socket, ticket: Uint8Array): boolean
}

/** Where no tickets were given out: nobody has one. */
export function refuseTicket(socket: Socket): boolean {
  socket.destroy()
  return false
}

/**
 * Raw connections that are neither members' nor joiners': they ask a reflector from where they are seen, or connect back because
 * this node asked for it. Whoever has neither a ticket nor a nonce we gave hears not one byte.
 */
export class RawOpenings {
  readonly #timers: Timers
  readonly #handlers: RawHandlers
  readonly #expected = new Map<string, (socket: Socket) => void>()
  readonly #waiting = new Set<Socket>()
  /** Connections without a valid ticket or nonce so far. */
  refused = 0

  constructor(timers: Timers, handlers: RawHandlers) {
    this.#timers = timers
    this.#handlers = handlers
  }

  /**
   * Takes over a connection that begins as ours do. False: it is another's, untouched.
   * @param socket nobody reads it any more. @param first what was read of it, at least `RAW_MAGIC_BYTES`. @param known told once
   * it has shown a ticket or nonce of ours.
   */
  serve(socket: Socket, first: Uint8Array, known: () => void = () => undefined): boolean {
    if (rawOpeningKind(first) === null) return false
    socket.removeAllListeners('data')
    socket.pause()
    if (first.length > 0) socket.unshift(first)
    this.accept(socket, known)
    return true
  }

  /** Takes over a connection to a port where all others have no business. */
  accept(socket: Socket, known: () => void = () => undefined): void {
    socket.on('error', () => undefined) // `close` tells
    this.#waiting.add(socket)
    // The oldest goes: whoever waits to hold a place has waited longer than who has something to say.
    for (const oldest of this.#waiting) {
      if (this.#waiting.size <= WAITING_MAX) break
      this.#waiting.delete(oldest)
      this.#refuse(oldest)
    }
    const cancel = this.#timers.after(OPENING_MS, () => this.#refuse(socket))
    socket.once('close', () => {
      cancel()
      this.#waiting.delete(socket)
    })
    takeFirstBytes(socket, RAW_OPENING_BYTES, (bytes) => {
      cancel()
      this.#waiting.delete(socket)
      this.#open(socket, bytes, known)
    })
  }

  /** From now on a connection with this nonce is answered, once; returns what ends that. */
  expect(nonce: Uint8Array, onArrived: (socket: Socket) => void): () => void {
    const name = toHex(nonce)
    this.#expected.set(name, onArrived)
    return () => void this.#expected.delete(name)
  }

  /** Closes what has not opened yet. */
  stop(): void {
    for (const socket of this.#waiting) socket.destroy()
    this.#expected.clear()
  }

  #open(socket: Socket, bytes: Uint8Array, known: () => void): void {
    if (rawOpeningKind(bytes) === null) return this.#refuse(socket)
    const { kind, token } = decodeRawOpening(bytes)
    if (kind === 'reflection') {
      if (this.#handlers.reflection(socket, token)) known()
      return
    }
    const name = toHex(token)
    const onArrived = this.#expected.get(name)
    if (onArrived === undefined) return this.#refuse(socket)
    this.#expected.delete(name)
    known()
    socket.end(encodeRawOpening({ kind, token }))
    // Whoever connected back closes once it has read; a broken one is not waited for.
    const cancel = this.#timers.after(OPENING_MS, () => socket.destroy())
    socket.once('close', cancel)
    socket.resume()
    onArrived(socket)
  }

  #refuse(socket: Socket): void {
    this.refused++
    socket.destroy()
  }
}
