import type { EventInput } from '../common/ports.ts'
import type { RotationReason } from './errors.ts'
import type { RotationState } from './state.ts'
import type { Usage } from './usage.ts'

/** What happens to one side. Records are those the record layer verified, given in their order. */
export type RotationEvent =
  /** `due` said that a limit is reached. */
  | { readonly type: 'use'; readonly usage: Usage }
  /** A person asks for new keys. */
  | { readonly type: 'rotate'; readonly usage: Usage }
  /** Our ROT left our own buffers; its answer is waited for from now. */
  | { readonly type: 'sent' }
  | { readonly type: 'rot'; readonly payload: Uint8Array }
  | { readonly type: 'ack'; readonly payload: Uint8Array }
  /** The reader opened the first record of the expected epoch, a CONFIRM; to be told before any later record is handled. */
  | { readonly type: 'promoted'; readonly epoch: number }
  /** `nextWakeAt` has come. */
  | { readonly type: 'wake' }
  /** The connection is gone. */
  | { readonly type: 'closed' }

/** What the owner does, at once and in the order given: a record sealed later could fall under another key. */
export type RotationEffect =
  /** Seal a record under the current write key; for `rot`, tell `sent` when it has left. */
  | { readonly type: 'send'; readonly record: 'rot' | 'ack'; readonly payload: Uint8Array }
  /** The reader accepts this epoch from now on, beside the current one. Zero the key once a cipher holds it. */
  | { readonly type: 'expect'; readonly epoch: number; readonly key: Uint8Array }
  /**
   * Data that was collected leaves under the old key; then the writer changes to this one and seals a CONFIRM record before
   * anything else. Zero the key once a cipher holds it.
   */
  | { readonly type: 'switch'; readonly epoch: number; readonly key: Uint8Array }
  /** Abort the connection. */
  | { readonly type: 'close'; readonly code: RotationReason; readonly text: string }
  | { readonly type: 'event'; readonly event: EventInput }

/** New state, and what is to be done. */
export type RotationStep = readonly [RotationState, readonly RotationEffect[]]
