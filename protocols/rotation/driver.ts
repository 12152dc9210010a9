import type { Clock, EmitEvent, Timers } from '../common/ports.ts'
import type { AeadCipher } from '../noise-ik/aead.ts'
import type { RecordReader } from '../record/reader.ts'
import type { RecordWriter } from '../record/writer.ts'
import type { RotationCrypto } from './crypto.ts'
import type { RotationReason } from './errors.ts'
import type { RotationEffect, RotationEvent } from './events.ts'
import type { RotationLimits } from './limits.ts'
import { step } from './machine.ts'
import {
  canRotate,
  createRotation,
  due,
  hardLimit,
  nextWakeAt,
  rotationView,
  type RotationState,
  type RotationView,
} from './state.ts'
import { usageOf, type Usage } from './usage.ts'

/** What a driver does to the stream of records. */
export interface RotationLink {
  /** False while bytes of ours wait to leave. */
  readonly isWritable: boolean
  /** Seals data that was collected, so that it leaves under the key in use. */
  flush(): void
  /** Seals and sends one record, behind all that was sent before. */
  send(type: 'rot' | 'ack' | 'confirm', payload?: Uint8Array): void
  /** Cuts the connection. */
  fail(code: RotationReason, text: string): void
}

/** What a driver joins. */
export interface RotationDriverInit {
  readonly writer: RecordWriter
  readonly reader: RecordReader
  /** `CipherSuite.cipher`: keeps its own copy of the key, which is zeroed afterwards. */
  readonly cipher: (key: Uint8Array) => AeadCipher
  readonly crypto: RotationCrypto
  /** True on the side that dialled. */
  readonly dialler: boolean
  /** From the handshake; the driver zeroes it in time. */
  readonly root: Uint8Array
  readonly limits?: RotationLimits
  readonly link: RotationLink
  readonly clock: Clock
  readonly timers: Pick<Timers, 'after'>
  readonly emit: EmitEvent
}

/** Runs the rotation machine of one connection on its record writer and reader. */
export class RotationDriver {
  readonly #init: RotationDriverInit
  readonly #usage: Usage
  #state: RotationState
  #isPerforming = false
  #isCut = false
  #wakeAt: number | null = null
  #stopTimer: (() => void) | undefined

  constructor(init: RotationDriverInit) {
    this.#init = init
    this.#usage = usageOf(init.writer, init.reader)
    const { dialler, root, limits } = init
    const start = { dialler, root, ...(limits === undefined ? {} : { limits }) }
    this.#state = createRotation(start, init.clock.now(), init.crypto)
  }

  /** What a key view shows. */
  get view(): RotationView {
    return rotationView(this.#state)
  }

  /**
   * To be called before each record is sealed, before bytes are given to the reader and before an opened record is used: may
   * start a rotation. False when the keys have served as long as they may: the connection is to be cut, if it was not, and
   * nothing may be sent or given out. Allocates nothing unless something is due.
   */
  check(): boolean {
    // In the middle of a switch the counters belong to neither epoch.
    if (this.#isPerforming) return true
    const now = this.#init.clock.now()
    // After our CLOSE record the other side's last data still comes in.
    if (this.#state.closed) return !this.#isCut && hardLimit(this.#state, this.#usage, now) === null
    if (due(this.#state, this.#usage, now)) this.#step({ type: 'use', usage: this.#usage })
    return !this.#state.closed
  }

  /** Starts a rotation now; false when one is under way. */
  rotate(): boolean {
    if (!canRotate(this.#state)) return false
    this.#step({ type: 'rotate', usage: this.#usage })
    return true
  }

  /** A ROT or ACK record was opened. */
  onRecord(type: 'rot' | 'ack', payload: Uint8Array): void {
    this.#step({ type, payload })
  }

  /** The CONFIRM record that begins an epoch was opened. */
  onPromoted(epoch: number): void {
    this.#step({ type: 'promoted', epoch })
  }

  /** What waited in our buffers has left. */
  onDrain(): void {
    const { own } = this.#state
    if (own !== null && own.sentAt === null) this.#step({ type: 'sent' })
  }

  /** The connection ends, or our CLOSE record was sent: nothing more is started or answered, and all secrets are forgotten. */
  close(): void {
    this.#step({ type: 'closed' })
  }

  #step(event: RotationEvent): void {
    const [state, effects] = step(this.#state, event, this.#init.clock.now(), this.#init.crypto)
    this.#state = state
    this.#isPerforming = true
    for (const effect of effects) this.#perform(effect)
    this.#isPerforming = false
    if (effects.some(({ type }) => type === 'send') && this.#init.link.isWritable) this.onDrain()
    this.#setTimer()
  }

  #perform(effect: RotationEffect): void {
    const { link, writer, reader, cipher, emit } = this.#init
    switch (effect.type) {
      case 'send':
        link.send(effect.record, effect.payload)
        break
      case 'expect':
        reader.expect(cipher(effect.key), effect.epoch)
        effect.key.fill(0)
        break
      case 'switch':
        link.flush()
        writer.rekey(cipher(effect.key), effect.epoch)
        effect.key.fill(0)
        link.send('confirm')
        break
      case 'close':
        this.#isCut = true
        link.fail(effect.code, effect.text)
        break
      case 'event':
        emit(effect.event)
        break
    }
  }

  #setTimer(): void {
    const wakeAt = nextWakeAt(this.#state)
    if (wakeAt === this.#wakeAt) return
    this.#stopTimer?.()
    this.#wakeAt = wakeAt
    if (wakeAt === null) return
    const delayMs = Math.max(0, wakeAt - this.#init.clock.now())
    this.#stopTimer = this.#init.timers.after(delayMs, () => {
      this.#wakeAt = null
      this.#step({ type: 'wake' })
    })
  }
}
