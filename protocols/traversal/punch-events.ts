import type { Endpoint } from './endpoint.ts'
import type { TraversalCode } from './errors.ts'

/** Name of a socket: `out1`, `out2` … for those the machine connects; the owner names what it accepts, otherwise and once. */
export type SocketId = string

/** What happens to an attempt. Times and order are the network's: late, repeated and forged ones are expected. */
export type PunchEvent =
  /** A port is open, and this is where reflectors see it. */
  | { readonly type: 'reflected'; readonly endpoints: readonly Endpoint[] }
  | { readonly type: 'reflect-failed'; readonly text: string }
  /** A message arrived on a relayed stream of this exchange, without its length. */
  | { readonly type: 'frame'; readonly bytes: Uint8Array }
  /** The relayed stream is gone. */
  | { readonly type: 'exchange-closed' }
  | { readonly type: 'connected'; readonly socket: SocketId }
  | { readonly type: 'connect-failed'; readonly socket: SocketId }
  | { readonly type: 'accepted'; readonly socket: SocketId; readonly from: Endpoint }
  /** The first `NOMINATION_BYTES` that came on a socket; the owner reads no further before the end. */
  | { readonly type: 'received'; readonly socket: SocketId; readonly bytes: Uint8Array }
  | { readonly type: 'closed'; readonly socket: SocketId }
  | { readonly type: 'listen-failed' }
  /** `nextWakeAt` has come. */
  | { readonly type: 'wake' }
  /** The direct connection is no longer wanted. */
  | { readonly type: 'cancel' }

/** How an attempt ended. `socket`: open and nominated, to be upgraded by `role` (the initiator of the exchange dials). */
export type PunchOutcome =
  | {
      readonly path: 'direct'
      readonly socket: SocketId
      readonly role: PunchRole
      readonly rttMs: number | null
    }
  | { readonly path: 'relay'; readonly reason: TraversalCode; readonly text: string }

/** Who sent the OFFER that counts, and who answered; the socket's own direction says nothing. */
export type PunchRole = 'initiator' | 'responder'

/** What the owner does, at once and in the order given. */
export type PunchEffect =
  /** Open a fresh port, connect from it to reflectors, keep these connections until `release`. */
  | { readonly type: 'reflect' }
  /** Write to the relayed stream whose OFFER bore this nonce. */
  | { readonly type: 'send'; readonly nonce: Uint8Array; readonly bytes: Uint8Array }
  /** From the attempt's port. */
  | { readonly type: 'connect'; readonly socket: SocketId; readonly endpoint: Endpoint }
  /** On the attempt's port. Only after the connects before it are under way: Node refuses the other order. */
  | { readonly type: 'listen' }
  /** Before further connects, for the same reason. What was accepted stays open. */
  | { readonly type: 'unlisten' }
  | { readonly type: 'write'; readonly socket: SocketId; readonly bytes: Uint8Array }
  | { readonly type: 'close'; readonly socket: SocketId }
  /** Something an operator may want to know; at most `REPORTS_MAX`. */
  | { readonly type: 'report'; readonly code: TraversalCode; readonly endpoint: Endpoint | null }
  /** Close the listener and the connections to reflectors. */
  | { readonly type: 'release' }
  | { readonly type: 'done'; readonly outcome: PunchOutcome }
