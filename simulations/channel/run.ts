import { sha256 } from '../../protocols/common/signing.ts'
import { AESGCM, CHACHAPOLY } from '../../protocols/noise-ik/suite.ts'
import { rotationCrypto, type RotationCrypto } from '../../protocols/rotation/crypto.ts'
import type { AeadCipher } from '../../protocols/noise-ik/aead.ts'
import { symbolicCipher } from './cipher.ts'
import { Endpoint } from './endpoint.ts'
import { Broken, EventLedger, KeyLedger } from './ledger.ts'
import { drawPlan, type Plan, type SideIndex } from './plan.ts'
import { Schedule } from './schedule.ts'
import { choicesOf, type Choices } from './seed.ts'
import { symbolicCrypto } from './symbolic.ts'
import { Wire } from './wire.ts'

/** What one run showed. */
export interface RunResult {
  readonly fault: Plan['fault']
  /** Whether the fault happened: a run may end before its turn. */
  readonly isFaulty: boolean
  /** How each side ended. */
  readonly ends: readonly [string, string]
  readonly epoch: number
  readonly records: number
  /** Events of both sides by kind and reason. */
  readonly events: ReadonlyMap<string, number>
  readonly virtualMs: number
}

/** How a run is done. */
export interface RunOptions {
  readonly isReal: boolean
  /** Told what happens, for a person. */
  readonly trace?: (line: string) => void
}

/** Safety net: a run that does not end is a failure. */
const STEPS_MAX = 100_000

/**
 * One connection from its first record to its end, with the traffic, the stalls and the one fault its seed gives. The records,
 * the machine and its driver are the real ones; keys are symbols unless `isReal`. @throws Broken
 */
export function run(seed: string, { isReal, trace }: RunOptions): RunResult {
  const world = new World(choicesOf(seed), isReal, trace)
  world.play()
  return world.judge()
}

class World {
  readonly #plan: Plan
  readonly #choices: Choices
  readonly #schedule = new Schedule()
  readonly #trace: ((line: string) => void) | undefined
  readonly #wires: readonly [Wire, Wire]
  readonly #events = [new EventLedger(), new EventLedger()] as const
  readonly #ends: readonly [Endpoint, Endpoint]
  readonly #sent: readonly [Uint8Array[], Uint8Array[]] = [[], []]
  /** Nothing put on the wire arrives earlier than this. */
  readonly #clearAt = [0, 0]
  readonly #isCut = [false, false]
  #records = 0
  #isKilled = false

  constructor(choices: Choices, isReal: boolean, trace: ((line: string) => void) | undefined) {
    this.#choices = choices
    this.#plan = drawPlan(choices)
    this.#trace = trace
    const { fault } = this.#plan
    this.#wires = [new Wire(fault, 0, choices), new Wire(fault, 1, choices)]
    const parts = isReal ? realParts(choices) : symbolicParts()
    this.#ends = [this.#endpoint(0, parts), this.#endpoint(1, parts)]
    trace?.(JSON.stringify({ ...this.#plan, messages: this.#plan.messages.map(({ length }) => length) }))
  }

  play(): void {
    const { messages, rotations, stalls, endAt, fault } = this.#plan
    this.#ends[0].confirm()
    for (const index of [0, 1] as const)
      for (const [number, { at, sizeBytes }] of messages[index].entries())
        this.#schedule.after(at, () => this.#say(index, number, sizeBytes))
    for (const { at, sides } of rotations)
      this.#schedule.after(at, () => sides.forEach((side) => this.#ends[side].driver.rotate()))
    for (const { at, ms, from } of stalls) this.#schedule.after(at, () => this.#stall(from, ms))
    for (const index of [0, 1] as const)
      this.#schedule.after(endAt + this.#choices.between(0, 50), () => this.#ends[index].finish())
    while (this.#schedule.next()) {
      if (fault.kind === 'kill' && this.#schedule.steps === fault.atStep) this.#kill(fault.side)
      if (this.#schedule.steps > STEPS_MAX) throw new Broken('the run does not end')
    }
  }

  judge(): RunResult {
    const { fault } = this.#plan
    for (const index of [0, 1] as const) {
      const end = this.#ends[index]
      if (end.end === null) throw new Broken(`side ${index} never ended`)
      this.#events[index].close()
      this.#compare(index)
      if (this.#wires[1 - index]?.mustShow === true && end.end === 'closed')
        throw new Broken(`side ${index} closed in order though its stream was changed`)
    }
    const isHonest = !this.#isKilled && !this.#wires.some(({ isTampered }) => isTampered)
    if (isHonest) this.#judgeHonest()
    const events = new Map<string, number>()
    for (const { counts } of this.#events)
      for (const [name, count] of counts) events.set(name, (events.get(name) ?? 0) + count)
    return {
      fault,
      isFaulty: this.#isKilled || this.#wires.some(({ isFaulty }) => isFaulty),
      ends: [this.#ends[0].end ?? '', this.#ends[1].end ?? ''],
      epoch: Math.max(...this.#ends.map(({ driver }) => driver.view.epoch)),
      records: this.#records,
      events,
      virtualMs: this.#schedule.now,
    }
  }

  /** Nobody touched the stream: it may be slow, and nothing else. */
  #judgeHonest(): void {
    const { fault, stalls } = this.#plan
    const isCalm = fault.kind === 'none' && stalls.length === 0
    for (const index of [0, 1] as const) {
      const { end, received } = this.#ends[index]
      const hard = this.#ends.some((side) => side.end === 'rotation-hard-limit')
      if (end !== 'closed' && !(hard && !isCalm && (end === 'rotation-hard-limit' || end === 'truncated')))
        throw new Broken(`side ${index} of an honest pair ended with ${end}`)
      if (!hard && received.length !== this.#sent[1 - index]?.length) throw new Broken('data was lost')
      const failures = this.#events[index].codes.filter((code) => code !== 'rotation-interrupted')
      if (isCalm && failures.length > 0) throw new Broken(`a calm run saw ${failures.join(', ')}`)
    }
  }

  /** What was given to the application is the beginning of what was sent, byte for byte. */
  #compare(index: SideIndex): void {
    const sent = this.#sent[1 - index] ?? []
    const { received } = this.#ends[index]
    if (received.length > sent.length) throw new Broken('more was received than sent')
    for (const [number, bytes] of received.entries())
      if (Buffer.compare(bytes, sent[number] ?? new Uint8Array(0)) !== 0)
        throw new Broken(`message ${number} to side ${index} was accepted twice, altered or out of order`)
  }

  #say(index: SideIndex, number: number, sizeBytes: number): void {
    if (this.#ends[index].end !== null) return
    const bytes = new Uint8Array(sizeBytes).fill(number + index * 128)
    this.#sent[index].push(bytes)
    this.#ends[index].send(bytes)
  }

  #endpoint(index: SideIndex, parts: Parts): Endpoint {
    const ledger = new KeyLedger(this.#plan.limits.hard, () => this.#schedule.now)
    return new Endpoint({
      dialler: index === 0,
      keys: parts.keys(index),
      cipher: (key) => ledger.guard(key, parts.cipher(key)),
      crypto: ledger.watch(parts.crypto(index)),
      limits: this.#plan.limits,
      now: () => this.#schedule.now,
      after: (delayMs, run) => this.#schedule.after(delayMs, run),
      transmit: (frame) => this.#transmit(index, frame),
      isWritable: () => (this.#clearAt[index] ?? 0) <= this.#schedule.now,
      emit: (event) => {
        this.#trace?.(
          `${this.#schedule.now.toFixed(0)} ${index} ${event.kind} ${event.reason ?? ''} ${JSON.stringify(event.fields ?? {})}`,
        )
        this.#events[index].take(event)
      },
      cut: () => this.#cut(index),
    })
  }

  #transmit(from: SideIndex, frame: Uint8Array): void {
    this.#records++
    this.#trace?.(
      `${this.#schedule.now.toFixed(0)} ${from} sends ${Buffer.from(frame.subarray(0, 16)).toString('hex')}`,
    )
    if (this.#isCut[from] === true) return
    const { frames, delayMs, isCut } = this.#wires[from].pass(frame)
    if (delayMs > 0) this.#stall(from, delayMs)
    for (const bytes of frames) this.#carry(from, bytes)
    if (isCut) this.#cut(from)
  }

  /** In order, cut into pieces at random. */
  #carry(from: SideIndex, bytes: Uint8Array): void {
    const to = this.#ends[1 - from] as Endpoint
    const at = this.#choices.chance(0.2) ? this.#choices.between(0, bytes.length) : bytes.length
    for (const piece of [bytes.subarray(0, at), bytes.subarray(at)])
      if (piece.length > 0) this.#arrive(from, () => to.receive(piece))
  }

  #arrive(from: SideIndex, run: () => void): void {
    const start = Math.max(this.#schedule.now, this.#clearAt[from] ?? 0)
    this.#schedule.at(start + this.#plan.latencyMs[from], run)
  }

  #stall(from: SideIndex, ms: number): void {
    this.#clearAt[from] = Math.max(this.#clearAt[from] ?? 0, this.#schedule.now + ms)
    this.#schedule.at(this.#clearAt[from] ?? 0, () => this.#ends[from].driver.onDrain())
  }

  /** One direction ends; the other side reads what is under way, then the end. */
  #cut(from: SideIndex): void {
    if (this.#isCut[from] === true) return
    this.#isCut[from] = true
    this.#arrive(from, () => this.#ends[1 - from]?.onEnd())
  }

  #kill(side: SideIndex | null): void {
    this.#isKilled = true
    for (const index of [0, 1] as const) {
      if (side !== null && side !== index) continue
      this.#ends[index].fail('killed')
    }
  }
}

/** What differs between symbols and real cryptography. */
interface Parts {
  readonly keys: (index: SideIndex) => { write: Uint8Array; read: Uint8Array; root: Uint8Array }
  readonly cipher: (key: Uint8Array) => AeadCipher
  readonly crypto: (index: SideIndex) => RotationCrypto
}

function symbolicParts(): Parts {
  const bytes = (text: string): Uint8Array => new TextEncoder().encode(text)
  return {
    keys: (index) => ({ write: bytes(`k${index}`), read: bytes(`k${1 - index}`), root: bytes('root') }),
    cipher: symbolicCipher,
    crypto: (index) => symbolicCrypto('ab'[index] ?? ''),
  }
}

function realParts(choices: Choices): Parts {
  const suite = choices.pick([AESGCM, CHACHAPOLY])
  const statics = [suite.keyPair(choices.bytes(32)), suite.keyPair(choices.bytes(32))] as const
  const keys = [choices.bytes(32), choices.bytes(32)] as const
  const root = choices.bytes(32)
  const handshakeHash = sha256(root)
  return {
    keys: (index) => ({
      write: keys[index].slice(),
      read: (keys[1 - index] as Uint8Array).slice(),
      root: root.slice(),
    }),
    cipher: (key) => suite.cipher(key),
    crypto: (index) =>
      rotationCrypto({
        suite,
        s: statics[index],
        rs: (statics[1 - index] as (typeof statics)[0]).publicKey,
        handshakeHash,
        random: choices,
      }),
  }
}
