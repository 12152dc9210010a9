import { RevocationSet } from '../../protocols/admission/revocation.ts'
import type { Root } from '../../protocols/admission/root.ts'
import { equalBytes, fromHex, toHex } from '../../protocols/common/bytes.ts'
import { keyFromPeerId } from '../../protocols/common/peer-id.ts'
import type { Hash } from '../../protocols/common/ports.ts'
import { sha256 } from '../../protocols/common/signing.ts'
import { step, type Effect, type MembershipState } from '../../protocols/membership/machine.ts'
import { sumOf } from '../../protocols/membership/recorder.ts'
import { restoreMembership, snapshotOf, type MembershipPorts } from '../../protocols/membership/snapshot.ts'
import type { RevocationBook } from '../../protocols/membership/state.ts'
import { fullSnapshot, snapshotText } from '../../node/diagnostics/recording-format.ts'
import {
  portableSnapshot,
  type PortableRecording,
  type PortableStep,
} from '../../node/diagnostics/portable-recording.ts'

/** Where a replay went another way than the recording. */
export interface Difference {
  /** Number of the step, from 0; the number of steps where only the end differs. */
  readonly step: number
  readonly what: 'random' | 'signature' | 'answers' | 'effects' | 'state' | 'crash'
  readonly text: string
}

/** What became of a replay. */
export interface Replayed {
  readonly state: MembershipState
  /** Time of the last step, ms since the epoch. */
  readonly now: number
  /** Steps taken. */
  readonly steps: number
  /** The first; null when all went as recorded. */
  readonly difference: Difference | null
}

/** `number` from 0; the state after the step. */
export type StepListener = (
  recorded: PortableStep,
  number: number,
  effects: readonly Effect[],
  state: MembershipState,
) => void

/** What a replay is asked for. */
export interface ReplayOptions {
  /** Steps to take; all when undefined. The final state is compared only then. */
  readonly until?: number | undefined
  /** The code to step with. */
  readonly run?: typeof step
  /** Told of each step when it is taken. */
  readonly stepped?: StepListener | undefined
}

/**
 * Steps through a recording, answering as its ports answered.
 * @throws MalformedError when the recording holds entries that do not decode.
 */
export function replay(recording: PortableRecording, options: ReplayOptions = {}): Replayed {
  const { run = step, until = recording.steps.length, stepped } = options
  const player = new Player(recording)
  const state = restoreMembership(fullSnapshot(recording.checkpoint), player.ports)
  let now = recording.at
  let taken = 0
  for (const recorded of recording.steps.slice(0, until)) {
    const { event, answers, effects: expected } = recorded
    now = recorded.now
    player.begin(answers, taken)
    try {
      const effects = run(state, event, now)
      stepped?.(recorded, taken, effects, state)
      player.end(sumOf(effects) === expected)
    } catch (error) {
      player.differ('crash', error instanceof Error ? (error.stack ?? error.message) : String(error))
    }
    if (player.difference !== null) return { state, now, steps: taken, difference: player.difference }
    taken++
  }
  const difference = until < recording.steps.length ? null : compareEnd(state, recording)
  return { state, now, steps: taken, difference }
}

function compareEnd(state: MembershipState, { final, steps }: PortableRecording): Difference | null {
  const reached = snapshotText(portableOf(state))
  const recorded = snapshotText(final)
  if (reached === recorded) return null
  const path = firstDifference(JSON.parse(recorded), JSON.parse(reached))
  return { step: steps.length, what: 'state', text: `${path} is another` }
}

function portableOf(state: MembershipState): PortableRecording['final'] {
  const parts = portableSnapshot(snapshotOf(state), null)
  for (;;) {
    const { done, value } = parts.next()
    if (done === true) return value
  }
}

/** Path of the first place where two JSON documents differ. */
function firstDifference(a: unknown, b: unknown, path = ''): string | null {
  if (typeof a !== 'object' || typeof b !== 'object' || a === null || b === null)
    return Object.is(a, b) ? null : `${path} (${JSON.stringify(a)}, here ${JSON.stringify(b)})`
  for (const key of new Set([...Object.keys(a), ...Object.keys(b)])) {
    const [inA, inB] = [(a as Record<string, unknown>)[key], (b as Record<string, unknown>)[key]]
    const found = firstDifference(inA, inB, path === '' ? key : `${path}.${key}`)
    if (found !== null) return found
  }
  return null
}

/** The ports of a recorded machine, answering from the recording. */
class Player {
  readonly ports: MembershipPorts
  difference: Difference | null = null
  #answers: PortableStep['answers'] | null = null
  #step = 0
  #asked = { random: 0, signed: 0, verify: 0, reachable: 0, revoked: 0, add: 0 }

  constructor({ root: { meshId, rootKeys }, checkpoint, steps, hashes }: PortableRecording) {
    const hash: Hash = (...parts) => {
      const digest = sha256(...parts)
      const original = hashes.get(toHex(digest))
      return original === undefined ? digest : fromHex(original)
    }
    const root = rootOf(meshId, rootKeys)
    const wasAsked = steps.some(({ answers }) => answers.revoked.length > 0)
    this.ports = {
      root,
      hash,
      random: { bytes: (length) => this.#random(length) },
      signer: { publicKey: keyFromPeerId(checkpoint.self.id), sign: (message) => this.#sign(message) },
      verify: () => !this.#recorded.unverified.includes(this.#asked.verify++),
      authorityReachable: () => this.#next('reachable', false),
      revoked: wasAsked ? () => this.#next('revoked', false) : undefined,
      revocations:
        checkpoint.revocations === null ? undefined : this.#book(root, hash, checkpoint.revocations),
    }
  }

  /** The next questions are those of this step. */
  begin(answers: PortableStep['answers'], number: number): void {
    this.#answers = answers
    this.#step = number
    this.#asked = { random: 0, signed: 0, verify: 0, reachable: 0, revoked: 0, add: 0 }
  }

  /** No more questions in this step. */
  end(isSameEffects: boolean): void {
    const { random, signed, reachable, revoked, unverified, unsigned } = this.#recorded
    const asked = this.#asked
    if (asked.random < random.length) this.differ('random', 'less randomness was drawn')
    if (asked.signed < signed.length) this.differ('signature', 'less was signed')
    if (asked.reachable < reachable.length || asked.revoked < revoked.length)
      this.differ('answers', 'less was asked')
    if ((unverified.at(-1) ?? -1) >= asked.verify || (unsigned.at(-1) ?? -1) >= asked.add)
      this.differ('answers', 'less was verified')
    if (!isSameEffects) this.differ('effects', 'it led to something else')
  }

  differ(what: Difference['what'], text: string): void {
    this.difference ??= { step: this.#step, what, text }
  }

  get #recorded(): PortableStep['answers'] {
    if (this.#answers === null) throw new Error('asked between two steps')
    return this.#answers
  }

  #random(length: number): Uint8Array {
    const drawn = this.#recorded.random[this.#asked.random++]
    if (drawn?.length === length) return drawn
    this.differ('random', `${length} bytes were drawn, recorded are ${drawn?.length ?? 'none'}`)
    return new Uint8Array(length)
  }

  #sign(message: Uint8Array): Uint8Array {
    const signed = this.#recorded.signed[this.#asked.signed++]
    if (signed !== undefined && equalBytes(signed.digest, sha256(message))) return signed.signature
    this.differ('signature', signed === undefined ? 'more was signed' : 'another message was signed')
    return new Uint8Array(64)
  }

  #next(key: 'reachable' | 'revoked', otherwise: boolean): boolean {
    const answer = this.#recorded[key][this.#asked[key]++]
    if (answer === undefined) this.differ('answers', `${key} was asked more often`)
    return answer ?? otherwise
  }

  #book(root: Root, hash: Hash, held: readonly Uint8Array[]): RevocationBook {
    const set = new RevocationSet({ root, hash, verify: () => true })
    for (const bytes of held) set.restore(bytes)
    return {
      get size() {
        return set.size
      },
      isRevoked: set.isRevoked,
      hash: () => set.hash(),
      all: () => set.all(),
      sweep: (now) => set.sweep(now),
      add: (bytes, now) =>
        this.#recorded.unsigned.includes(this.#asked.add++)
          ? { outcome: 'refused', code: 'revocation-signature-invalid', text: 'as recorded' }
          : set.add(bytes, now),
    }
  }
}

/** What of a root document the machine looks at; the rest stays at home. */
function rootOf(meshId: Uint8Array, rootKeys: readonly Uint8Array[]): Root {
  const nothing = new Uint8Array(0)
  const document = { name: 'mesh', domain: 'mesh.internal', rootKeys: [...rootKeys], x509Root: nothing }
  return { meshId, bytes: nothing, document: { version: 1, createdAt: 0, ...document } }
}
