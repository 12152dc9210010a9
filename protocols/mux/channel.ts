import { concat } from '../common/bytes.ts'
import { MuxError } from './errors.ts'
import {
  FRAME_TARGET_BYTES,
  INITIAL_WINDOW_BYTES,
  KEPT_ARRAYS_MAX,
  MAX_WINDOW_BYTES,
  PINNED_MAX_BYTES,
  QUEUE_MAX_BYTES,
} from './limits.ts'

/** What the user of a channel is told. None of these may throw. */
export interface ChannelUser {
  /** Bytes came; `consumed` must be called for them, at once or later. They are never cut off by a later call. */
  onData(bytes: Uint8Array): void
  /** The other side finished writing. */
  onEnd(): void
  /** The channel was given up by the other side, or the connection ended under it. Nothing follows. */
  onReset(error: Error): void
  /** After `write` returned false: more may be written. */
  onDrain(): void
}

/** A two-way byte stream that holds its sender back: a channel, or something around one. */
export interface ByteChannel {
  /** Names who is told, from now on; what came before is told at once. */
  use(user: ChannelUser): void
  /**
   * Sends `bytes`, which must not change afterwards. False: wait for `onDrain` before sending more. Nobody waits for what is
   * `late`: it may leave with what follows.
   */
  write(bytes: Uint8Array, late?: boolean): boolean
  /** Finishes writing, behind what waits; reading goes on. */
  end(): void
  /** Gives both directions up; the other side sees a reset. The user is not told. */
  reset(): void
  /** The user is done with `bytes` of what it was given: the other side may send as many more. */
  consumed(bytes: number): void
}

/** What a channel needs of its connection. */
export interface ChannelOwner {
  /** False while the connection holds enough unsent bytes. */
  readonly writable: boolean
  now(): number
  /** How quickly half a window must have been read for the window to grow, in ms. */
  readonly growWithinMs: number
  sendData(channel: Channel, bytes: Uint8Array, fin: boolean, late: boolean): void
  sendWindow(channel: Channel, creditBytes: number): void
  sendReset(channel: Channel): void
  /** Takes up to `bytes` from the pool of all windows. */
  takeFromPool(bytes: number): number
  /** `channel` waits until the connection is writable. */
  waitForDrain(channel: Channel): void
  /** Both directions are done. */
  closed(channel: Channel): void
}

/**
 * One two-way byte stream inside a connection. What it sends is bounded by what the other side allowed (its window); what it
 * receives by what its user consumed. Bytes received before `use` wait, within the window.
 */
export class Channel implements ByteChannel {
  readonly id: number
  readonly protocol: string
  readonly #owner: ChannelOwner
  #user: ChannelUser | undefined
  #early: Uint8Array[] = []
  #sendWindow = INITIAL_WINDOW_BYTES
  #queue: Uint8Array[] = []
  #queuedBytes = 0
  #finQueued = false
  #sentFin = false
  #receivedFin = false
  #failure: Error | undefined
  #onSent: (() => void) | undefined
  #needsDrain = false
  #receiveWindow = INITIAL_WINDOW_BYTES
  /** What the other side may still send. */
  #receiveCredit = INITIAL_WINDOW_BYTES
  /** Read by the user, not yet allowed again. */
  #consumedBytes = 0
  #measuredSince: number
  /** What of the window came from the pool. */
  pooledBytes = 0

  constructor(id: number, protocol: string, owner: ChannelOwner) {
    this.id = id
    this.protocol = protocol
    this.#owner = owner
    this.#measuredSince = owner.now()
  }

  /** Neither direction is done. */
  get isOpen(): boolean {
    return this.#failure === undefined && !(this.#sentFin && this.#receivedFin)
  }

  /** Bytes that wait for the other side's window. */
  get queuedBytes(): number {
    return this.#queuedBytes
  }

  /** Names who is told, from now on; what came before is told at once. */
  use(user: ChannelUser): void {
    this.#user = user
    // Somebody may be named anew from within, and goes on where this one stopped.
    for (let bytes = this.#early.shift(); bytes !== undefined; bytes = this.#early.shift())
      this.#user.onData(bytes)
    if (this.#user !== user) return
    if (this.#failure !== undefined) user.onReset(this.#failure)
    else if (this.#receivedFin) user.onEnd()
  }

  /** Sends `bytes`, which must not change afterwards. False: wait for `onDrain` before sending more. */
  write(bytes: Uint8Array, late = false): boolean {
    if (this.#failure !== undefined) return false
    if (this.#finQueued || this.#sentFin) throw new Error(`write after end in channel ${this.id}`)
    if (bytes.length > 0) {
      if (this.#queuedBytes > 0 || bytes.length > this.#sendWindow) this.#enqueue(bytes)
      else this.#sendNow(bytes, late)
    }
    if (this.#queuedBytes === 0 && this.#owner.writable) return true
    this.#needsDrain = true
    if (this.#queuedBytes === 0) this.#owner.waitForDrain(this)
    return false
  }

  /** Finishes writing, behind what waits; reading goes on. `onSent` is told once all has left, or never will. */
  end(onSent?: () => void): void {
    if (this.#failure !== undefined || this.#sentFin) return onSent?.()
    if (onSent !== undefined) this.#onSent = onSent
    this.#finQueued = true
    if (this.#queuedBytes === 0) this.#sendFin()
  }

  /** Gives both directions up; the other side sees a reset. The user is not told. */
  reset(): void {
    if (!this.isOpen) return
    this.#fail(new MuxError('mux-closed', 'The channel was given up on this side'))
    this.#owner.sendReset(this)
    this.#owner.closed(this)
  }

  /** The user is done with `bytes` of what it was given: the other side may send as many more. */
  consumed(bytes: number): void {
    this.#consumedBytes += bytes
    if (this.#consumedBytes * 2 < this.#receiveWindow || this.#receivedFin || !this.isOpen) return
    const now = this.#owner.now()
    const isHeldUp = now - this.#measuredSince <= this.#owner.growWithinMs
    this.#measuredSince = now
    let credit = this.#consumedBytes
    if (isHeldUp && this.#receiveWindow < MAX_WINDOW_BYTES) {
      const more = this.#owner.takeFromPool(
        Math.min(this.#receiveWindow, MAX_WINDOW_BYTES - this.#receiveWindow),
      )
      this.#receiveWindow += more
      this.pooledBytes += more
      credit += more
    }
    this.#consumedBytes = 0
    this.#receiveCredit += credit
    this.#owner.sendWindow(this, credit)
  }

  /** The connection gives what came. @throws MuxError `mux-window`, `mux-frame`. */
  receive(bytes: Uint8Array): void {
    if (this.#receivedFin) throw new MuxError('mux-frame', `Data behind the end of channel ${this.id}`)
    if (bytes.length > this.#receiveCredit)
      throw new MuxError(
        'mux-window',
        `${bytes.length} bytes in channel ${this.id}, allowed ${this.#receiveCredit}`,
      )
    this.#receiveCredit -= bytes.length
    if (this.#failure !== undefined || bytes.length === 0) return
    const own = unpinned(bytes)
    if (this.#user === undefined || this.#early.length > 0) this.#early = keptFew(this.#early, own)
    else this.#user.onData(own)
  }

  /** The other side finished. */
  receiveFin(): void {
    if (this.#receivedFin) throw new MuxError('mux-frame', `A second end of channel ${this.id}`)
    this.#receivedFin = true
    const done = this.#sentFin && this.#failure === undefined
    this.#user?.onEnd()
    if (done) this.#owner.closed(this)
  }

  /** The other side allows more. @throws MuxError `mux-window`. */
  receiveCredit(creditBytes: number): void {
    this.#sendWindow += creditBytes
    if (this.#sendWindow > 2 ** 32) throw new MuxError('mux-window', `Channel ${this.id} was allowed 4 GiB`)
    while (this.#sendWindow > 0) {
      const next = this.#queue[0]
      if (next === undefined) break
      const part = next.subarray(0, this.#sendWindow)
      if (part.length === next.length) this.#queue.shift()
      else this.#queue[0] = next.subarray(part.length)
      this.#queuedBytes -= part.length
      this.#sendNow(part, false)
    }
    if (this.#queuedBytes > 0) return
    if (this.#finQueued && !this.#sentFin) this.#sendFin()
    else if (this.#needsDrain) {
      if (this.#owner.writable) this.drained()
      else this.#owner.waitForDrain(this)
    }
  }

  /** The other side gave up, or the connection is gone. */
  receiveReset(error: Error): void {
    if (!this.isOpen) return
    this.#fail(error)
    this.#owner.closed(this)
    this.#user?.onReset(error)
  }

  /** The connection takes bytes again. */
  drained(): void {
    if (!this.#needsDrain || this.#queuedBytes > 0) return
    this.#needsDrain = false
    if (this.#failure === undefined) this.#user?.onDrain()
  }

  #enqueue(bytes: Uint8Array): void {
    const fitting = this.#queuedBytes === 0 ? this.#sendWindow : 0
    if (fitting > 0) this.#sendNow(bytes.subarray(0, fitting), false)
    const rest = bytes.subarray(fitting)
    if (this.#queuedBytes + rest.length > QUEUE_MAX_BYTES)
      throw new Error(`${rest.length} bytes written to channel ${this.id} without waiting for it to drain`)
    this.#queue.push(rest)
    this.#queuedBytes += rest.length
  }

  #sendNow(bytes: Uint8Array, late: boolean): void {
    this.#sendWindow -= bytes.length
    for (let at = 0; at < bytes.length; at += FRAME_TARGET_BYTES)
      this.#owner.sendData(this, bytes.subarray(at, at + FRAME_TARGET_BYTES), false, late)
  }

  #sendFin(): void {
    this.#sentFin = true
    this.#owner.sendData(this, NOTHING, true, true)
    if (this.#receivedFin) this.#owner.closed(this)
    this.#onSent?.()
  }

  #fail(error: Error): void {
    this.#failure = error
    this.#queue = []
    this.#queuedBytes = 0
    this.#early = []
    this.#onSent?.()
  }
}

/**
 * The bytes without the much larger buffer they are a part of: windows count bytes, and a few of them must not keep all that
 * was decrypted with them in memory.
 */
function unpinned(bytes: Uint8Array): Uint8Array {
  const { byteLength } = bytes.buffer
  return byteLength > PINNED_MAX_BYTES && bytes.length * 4 < byteLength ? bytes.slice() : bytes
}

/** `kept` with `bytes` behind it, in few arrays: one for each byte would cost a hundred times what the window counts. */
export function keptFew(kept: Uint8Array[], bytes: Uint8Array): Uint8Array[] {
  kept.push(bytes)
  return kept.length > KEPT_ARRAYS_MAX ? [concat(...kept)] : kept
}

const NOTHING = new Uint8Array(0)
