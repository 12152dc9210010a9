import { HEADER_BYTES } from '../../protocols/record/limits.ts'
import { FRAME_KINDS, type Fault } from './plan.ts'
import type { Choices } from './seed.ts'

/** What leaves the wire for one frame that was put in. */
export interface Passed {
  readonly frames: readonly Uint8Array[]
  /** Extra time before them, and before all that follows. */
  readonly delayMs: number
  /** Nothing more comes in this direction. */
  readonly isCut: boolean
}

/** Longest delay of a frame: more than answer and unconfirmed times, less than what a hard limit leaves. */
const DELAY_MAX_MS = 12_000

/** One direction of the connection, where the fault of the run happens. */
export class Wire {
  readonly #fault: Fault
  readonly #from: number
  readonly #choices: Choices
  readonly #kept: Uint8Array[] = []
  #held: Uint8Array | undefined
  #seen = 0
  /** True once something was changed that an honest path would not change. */
  isTampered = false
  /** True when the reader must notice: what follows an orderly end need not be read any more. */
  mustShow = false
  /** True once the fault happened, be it only a delay. */
  isFaulty = false

  constructor(fault: Fault, from: number, choices: Choices) {
    this.#fault = fault
    this.#from = from
    this.#choices = choices
  }

  /** Takes one sealed record. */
  pass(frame: Uint8Array): Passed {
    const fault = this.#fault
    if (this.#held !== undefined) {
      const held = this.#held
      this.#held = undefined
      return { frames: [frame, held], delayMs: 0, isCut: false }
    }
    if (this.#kept.length < 8) this.#kept.push(frame)
    const plain = { frames: [frame], delayMs: 0, isCut: false }
    if (fault.kind === 'none' || fault.kind === 'kill' || fault.from !== this.#from) return plain
    const isKind = FRAME_KINDS[frame[0] ?? 0] === fault.frame
    if (!isKind || this.#seen++ !== fault.number) return plain
    this.isFaulty = true
    if (fault.kind === 'delay') return { ...plain, delayMs: Math.ceil(fault.fraction * DELAY_MAX_MS) }
    this.isTampered = true
    this.mustShow = fault.frame !== 'close' || (fault.kind !== 'duplicate' && fault.kind !== 'replay')
    switch (fault.kind) {
      case 'flip': {
        const changed = frame.slice()
        // As often in the header as in the rest.
        const bits = (this.#choices.chance(0.5) ? HEADER_BYTES : frame.length) * 8
        const bit = Math.floor(fault.fraction * bits)
        changed[bit >> 3] = (changed[bit >> 3] ?? 0) ^ (1 << (bit & 7))
        return { ...plain, frames: [changed] }
      }
      case 'truncate':
        return {
          ...plain,
          frames: [frame.subarray(0, Math.floor(fault.fraction * frame.length))],
          isCut: true,
        }
      case 'duplicate':
        return { ...plain, frames: [frame, frame] }
      case 'swap':
        this.#held = frame
        return { ...plain, frames: [] }
      case 'replay':
        return { ...plain, frames: [frame, this.#choices.pick(this.#kept)] }
      case 'drop':
        return { ...plain, frames: [] }
    }
  }
}
