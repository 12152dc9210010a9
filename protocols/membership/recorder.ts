import type { AddOutcome } from '../admission/revocation.ts'
import { equalBytes } from '../common/bytes.ts'
import { verifyEd25519 } from '../common/signing.ts'
import { revocationsHash } from './digest.ts'
import { EffectSum } from './effect-sum.ts'
import { step, type Effect, type MembershipEvent, type MembershipState } from './machine.ts'
import { RECORDED_BYTES_MAX, RECORDED_EVENT_BYTES, RECORDED_EVENTS_MAX } from './recorder-limits.ts'
import { snapshotOf, type MembershipPorts, type Snapshot } from './snapshot.ts'
import type { RevocationBook } from './state.ts'

/** A signature the machine asked for. */
export interface RecordedSignature {
  readonly message: Uint8Array
  readonly signature: Uint8Array
}

/** What the ports answered during one step, each list in the order of the questions. */
export interface Answers {
  readonly random: readonly Uint8Array[]
  readonly signed: readonly RecordedSignature[]
  /** Which questions of `verify` were answered with no, from 0. */
  readonly unverified: readonly number[]
  readonly reachable: readonly boolean[]
  /** Answers of the `revoked` beside the set. */
  readonly revoked: readonly boolean[]
  /** Which revocations given to the set, from 0, had a signature that does not hold. */
  readonly unsigned: readonly number[]
}

/** One step: what happened, when (ms), what the ports answered, and a sum over what it led to. */
export interface RecordedStep {
  readonly event: MembershipEvent
  readonly now: number
  readonly answers: Answers
  readonly effects: number
}

/** A checkpoint, every step since, and the state they led to. */
export interface Recording {
  /** When the checkpoint was taken, ms. */
  readonly at: number
  readonly checkpoint: Snapshot
  readonly steps: readonly RecordedStep[]
  readonly final: Snapshot
}

/** Bounds of a recorder. */
export interface RecorderLimits {
  readonly eventsMax: number
  readonly bytesMax: number
}

interface Stretch {
  readonly at: number
  readonly checkpoint: Snapshot
  readonly steps: RecordedStep[]
  sizeBytes: number
}

type Mutable<T> = { -readonly [K in keyof T]: T[K] extends readonly (infer Item)[] ? Item[] : T[K] }

/** Nothing was asked: shared by most steps. */
const NO_ANSWERS: Answers = {
  random: [],
  signed: [],
  unverified: [],
  reachable: [],
  revoked: [],
  unsigned: [],
}
const LIMITS: RecorderLimits = { eventsMax: RECORDED_EVENTS_MAX, bytesMax: RECORDED_BYTES_MAX }

/**
 * A flight recorder for one machine: the last minutes as a checkpoint and the events after it, from which `step` comes to the
 * very same state again. Build the machine with the ports it gives, `begin`, and take every step through it. When a stretch is
 * full the one before it is forgotten and the next begins with a checkpoint of its own.
 */
export class FlightRecorder {
  readonly #limits: RecorderLimits
  #state: MembershipState | null = null
  #before: Stretch | null = null
  #present: Stretch | null = null
  /** Answers of the step under way; null between steps, when questions are nobody's business. */
  #answers: Mutable<Answers> | null = null
  #verifications = 0
  #additions = 0
  /** The set of revocations is shared: this is what it was when the last step ended. */
  #revocations: Uint8Array = new Uint8Array(8)

  constructor(limits: RecorderLimits = LIMITS) {
    this.#limits = limits
  }

  /** The same ports, listened to. */
  listenTo<Ports extends MembershipPorts>(ports: Ports): Ports {
    const { signer, random, authorityReachable, revoked, revocations, verify = verifyEd25519 } = ports
    return {
      ...ports,
      random: { bytes: (length: number) => this.#note('random', random.bytes(length)) },
      signer: {
        publicKey: signer.publicKey,
        sign: (message: Uint8Array) => {
          const signature = signer.sign(message)
          this.#note('signed', { message, signature })
          return signature
        },
      },
      authorityReachable: () => this.#note('reachable', authorityReachable()),
      verify: (key: Uint8Array, message: Uint8Array, signature: Uint8Array) => {
        const holds = verify(key, message, signature)
        if (!holds) this.#note('unverified', this.#verifications)
        this.#verifications++
        return holds
      },
      ...(revoked === undefined
        ? {}
        : { revoked: (member: Parameters<typeof revoked>[0]) => this.#note('revoked', revoked(member)) }),
      ...(revocations === undefined ? {} : { revocations: this.#listenToBook(revocations) }),
    }
  }

  /** Takes the first checkpoint. `now` in ms. */
  begin(state: MembershipState, now: number): void {
    this.#state = state
    this.#before = null
    this.#checkpoint(state, now)
  }

  /** One step of the machine given to `begin`, recorded; `run` is the machine's own `step` unless a simulation replaces it. */
  step(event: MembershipEvent, now: number, run: typeof step = step): Effect[] {
    const state = this.#state
    if (state === null || this.#present === null) throw new Error('the recorder was not begun')
    const isFull =
      this.#present.steps.length >= this.#limits.eventsMax || this.#present.sizeBytes >= this.#limits.bytesMax
    // What others did to the set is in no event.
    const isForeign = !equalBytes(this.#revocations, revocationsHash(state))
    if (isFull || isForeign) {
      this.#before = isForeign ? null : this.#present
      this.#checkpoint(state, now)
    }
    this.#answers = NO_ANSWERS as Mutable<Answers>
    this.#verifications = 0
    this.#additions = 0
    const kept = compact(event)
    try {
      const effects = run(state, event, now)
      this.#keep({ event: kept, now, answers: this.#answers, effects: sumOf(effects) })
      return effects
    } finally {
      this.#answers = null
      this.#revocations = revocationsHash(state)
    }
  }

  /** What is recorded, with the present state; null before `begin`. */
  recording(): Recording | null {
    if (this.#state === null || this.#present === null) return null
    const { at, checkpoint } = this.#before ?? this.#present
    const steps = [...(this.#before?.steps ?? []), ...this.#present.steps]
    return { at, checkpoint, steps, final: snapshotOf(this.#state) }
  }

  #listenToBook(book: RevocationBook): RevocationBook {
    return {
      get size() {
        return book.size
      },
      isRevoked: book.isRevoked,
      hash: () => book.hash(),
      all: () => book.all(),
      sweep: (now) => book.sweep(now),
      add: (bytes, now) => {
        const outcome = book.add(bytes, now)
        if (isUnsigned(outcome)) this.#note('unsigned', this.#additions)
        this.#additions++
        return outcome
      },
    }
  }

  #note<Key extends keyof Answers, Value extends Answers[Key][number]>(key: Key, value: Value): Value {
    if (this.#answers === null) return value
    if (this.#answers === NO_ANSWERS)
      this.#answers = { random: [], signed: [], unverified: [], reachable: [], revoked: [], unsigned: [] }
    const list = this.#answers[key] as unknown[]
    list.push(value)
    return value
  }

  #keep(recorded: RecordedStep): void {
    const present = this.#present
    if (present === null) return
    present.steps.push(recorded)
    present.sizeBytes += RECORDED_EVENT_BYTES
    const { event, answers } = recorded
    if (event.type === 'frame' || event.type === 'revoke') present.sizeBytes += event.bytes.length
    for (const { message, signature } of answers.signed)
      present.sizeBytes += message.length + signature.length
  }

  #checkpoint(state: MembershipState, now: number): void {
    this.#present = { at: now, checkpoint: snapshotOf(state), steps: [], sizeBytes: 0 }
    this.#revocations = revocationsHash(state)
  }
}

/** True when the set refused a revocation for its signature: the one refusal a replay cannot find out by itself. */
export function isUnsigned(outcome: AddOutcome): boolean {
  return outcome.outcome === 'refused' && outcome.code === 'revocation-signature-invalid'
}

/** A sum over what a step led to, of which nothing depends on names or addresses: equal for steps that did the same. */
export function sumOf(effects: readonly Effect[]): number {
  if (effects.length === 0) return 0
  const sum = new EffectSum()
  for (const effect of effects) sum.add(effect)
  return sum.value
}

/** A frame may be a window on a large buffer with other traffic, which it would keep alive. */
function compact(event: MembershipEvent): MembershipEvent {
  if (event.type !== 'frame' || event.bytes.length === event.bytes.buffer.byteLength) return event
  return { ...event, bytes: Uint8Array.from(event.bytes) }
}
