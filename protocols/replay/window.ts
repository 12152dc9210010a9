import { MalformedError } from '../common/errors.ts'
import { COUNTER_LIMIT, WINDOW_BITS } from './limits.ts'

const WORD_BITS = 32
/** version u8 ‖ next counter u64 (greatest + 1, 0 when nothing was seen) ‖ the ring as big-endian words. */
const HEADER_BYTES = 9
const VERSION = 1

/** `out-of-range`: not a whole number from 0 to 2^53 − 1, so no honest counter. */
export type CounterVerdict = 'fresh' | 'duplicate' | 'old' | 'out-of-range'

/**
 * The anti-replay window of RFC 6479: which counters of one sender were seen, as a ring of bits that moves with the greatest.
 * One word of the ring is spare, so `bits - 32` counters below the greatest are told apart; what is older counts as seen.
 *
 * Two calls, because an attacker may write any counter: `check` before the tag or signature is verified, `commit` after it.
 */
export class ReplayWindow {
  readonly #ring: Uint32Array
  #greatest = -1

  /** @param bits size of the ring: a multiple of 32, at least 64. */
  constructor(bits: number = WINDOW_BITS) {
    if (bits % WORD_BITS !== 0 || bits < 2 * WORD_BITS) throw new Error(`window of ${bits} bits`)
    this.#ring = new Uint32Array(bits / WORD_BITS)
  }

  /** A window that holds everything up to and including `greatest` for seen; for owners that kept only that number. */
  static seenUpTo(greatest: number, bits: number = WINDOW_BITS): ReplayWindow {
    const window = new ReplayWindow(bits)
    if (greatest < 0) return window
    if (window.check(greatest) !== 'fresh') throw new Error(`greatest counter ${greatest}`)
    const top = wordOf(greatest)
    window.#ring.fill(0xffff_ffff, 0, top)
    window.#ring[top % window.#ring.length] = bitsUpTo(greatest)
    window.#greatest = greatest
    return window
  }

  /** The greatest counter committed, −1 before the first. */
  get greatest(): number {
    return this.#greatest
  }

  /** How many counters, the greatest included, are told apart. */
  get usable(): number {
    return (this.#ring.length - 1) * WORD_BITS
  }

  /** Whether `counter` would be accepted. Changes nothing. */
  check(counter: number): CounterVerdict {
    if (!Number.isSafeInteger(counter) || counter < 0) return 'out-of-range'
    if (counter > this.#greatest) return 'fresh'
    if (counter <= this.#greatest - this.usable) return 'old'
    const word = this.#ring[wordOf(counter) % this.#ring.length] as number
    return (word & bitOf(counter)) === 0 ? 'fresh' : 'duplicate'
  }

  /**
   * Marks an authenticated counter as seen. False when it is not fresh any more: a copy may have been committed while this one
   * was being verified, so only a true answer accepts the message.
   */
  commit(counter: number): boolean {
    if (this.check(counter) !== 'fresh') return false
    const words = this.#ring.length
    const index = wordOf(counter)
    if (counter > this.#greatest) {
      const passed = Math.min(index - wordOf(this.#greatest), words)
      for (let i = 0; i < passed; i++) this.#ring[(index - i) % words] = 0
      this.#greatest = counter
    }
    const at = index % words
    this.#ring[at] = ((this.#ring[at] as number) | bitOf(counter)) >>> 0
    return true
  }

  /** The window as bytes: version u8, greatest + 1 as u64, then the ring as u32 words, all big endian. */
  snapshot(): Uint8Array {
    const bytes = new Uint8Array(HEADER_BYTES + this.#ring.length * 4)
    const view = new DataView(bytes.buffer)
    view.setUint8(0, VERSION)
    view.setBigUint64(1, BigInt(this.#greatest) + 1n)
    for (const [i, word] of this.#ring.entries()) view.setUint32(HEADER_BYTES + i * 4, word)
    return bytes
  }

  /**
   * A window from `snapshot`. What was committed after the snapshot is not in it: an owner that accepts datagrams again after a
   * crash needs new keys instead.
   * @throws MalformedError for another length or version, a counter above 2^53 − 1, or bits above the greatest counter.
   */
  static restore(bytes: Uint8Array, bits: number = WINDOW_BITS): ReplayWindow {
    const window = new ReplayWindow(bits)
    const length = HEADER_BYTES + window.#ring.length * 4
    if (bytes.length !== length || bytes[0] !== VERSION)
      throw new MalformedError(`replay window of ${bytes.length} bytes, version ${bytes[0] ?? 'none'}`)
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length)
    const next = view.getBigUint64(1)
    if (next > BigInt(COUNTER_LIMIT)) throw new MalformedError(`replay window at counter ${next}`)
    for (let i = 0; i < window.#ring.length; i++) window.#ring[i] = view.getUint32(HEADER_BYTES + i * 4)
    window.#greatest = Number(next) - 1
    if (!window.#isSound()) throw new MalformedError('replay window with bits outside its counters')
    return window
  }

  /** The greatest counter is marked, none above it is, and an empty window is all zero. */
  #isSound(): boolean {
    if (this.#greatest < 0) return this.#ring.every((word) => word === 0)
    const top = wordOf(this.#greatest)
    const word = this.#ring[top % this.#ring.length] as number
    if ((word & bitOf(this.#greatest)) === 0 || (word & ~bitsUpTo(this.#greatest)) !== 0) return false
    // Words the counters have not reached yet.
    return this.#ring.every((bits, i) => i <= top || bits === 0)
  }
}

/** −1 for −1, so that the first counter clears its word. */
function wordOf(counter: number): number {
  return Math.floor(counter / WORD_BITS)
}

function bitOf(counter: number): number {
  return (1 << (counter % WORD_BITS)) >>> 0
}

/** The bits of a word up to and including that of `counter`. */
function bitsUpTo(counter: number): number {
  return 0xffff_ffff >>> (WORD_BITS - 1 - (counter % WORD_BITS))
}
