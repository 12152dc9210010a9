import type { Clock, Random, Signer, Store, Timers } from '../../protocols/common/ports.ts'
import type { Member } from '../../protocols/admission/certificates.ts'
import { AdmissionError, type AdmissionCode } from '../../protocols/admission/errors.ts'
import { readInvite, type Invite } from '../../protocols/admission/invite.ts'
import { makeJoinRequest, openReply, type JoinOutcome } from '../../protocols/admission/join.ts'
import { KithError } from '../../protocols/common/errors.ts'
import { validBootstrapAddresses, type BootstrapAddress } from '../../bootstrap/addresses.ts'
import { saveMesh, type StoredMesh } from './mesh-store.ts'

/** One try at one door, the door's own wait for the issuer included. */
export const EXCHANGE_TIMEOUT_MS = 15_000

/** Sends a join request to a door and brings its reply; the secure channel's join exchange. */
export type JoinExchange = (
  door: BootstrapAddress,
  request: Uint8Array,
  meshId: Uint8Array,
  signal: AbortSignal,
) => Promise<Uint8Array>

/** A finished join. `clockOffsetMs` is how far the issuer's clock is ahead of ours. */
export interface Joined {
  readonly mesh: StoredMesh
  readonly member: Member
  readonly clockOffsetMs: number
}

/** What a join needs. */
export interface JoinInput {
  readonly invite: string
  readonly signer: Signer
  /** Wanted node name; the invite's own name, where it has one, comes first. */
  readonly name: string
  readonly exchange: JoinExchange
  readonly store: Store
  readonly clock: Clock
  readonly random: Random
  readonly timers: Timers
  readonly signal?: AbortSignal
}

/**
 * Joins by an invite: asks one door after the other until the issuer answers, and stores what it says before returning.
 * A clock the issuer calls wrong is corrected for one more try.
 * @throws AdmissionError with the issuer's reason, or the last door's when the issuer was never reached.
 */
export async function joinMesh(input: JoinInput): Promise<Joined> {
  const invite = readInvite(input.invite, input.clock.now())
  const doors = validBootstrapAddresses(invite.body.bootstrap)
  let failure = new AdmissionError(
    'invite-issuer-unreachable',
    'the invite names no door that can be dialled',
  )
  let offsetMs = 0
  for (const door of doors) {
    let outcome = await tryDoor(input, invite, door, offsetMs)
    if (isSkew(outcome)) {
      offsetMs = outcome.issuerTime - input.clock.now()
      outcome = await tryDoor(input, invite, door, offsetMs)
    }
    if (outcome instanceof AdmissionError) failure = outcome
    else if (outcome.outcome === 'accepted') return store(input, outcome)
    else if (outcome.by === 'issuer') throw new AdmissionError(outcome.code, outcome.text)
    else failure = new AdmissionError(outcome.code, `door ${door.peer}: ${outcome.text}`)
  }
  throw failure
}

async function tryDoor(
  input: JoinInput,
  invite: Invite,
  door: BootstrapAddress,
  offsetMs: number,
): Promise<JoinOutcome | AdmissionError> {
  const { signer, random, clock, timers, signal } = input
  signal?.throwIfAborted()
  const pending = makeJoinRequest({
    invite,
    joiner: signer,
    name: invite.body.name ?? input.name,
    replyPrivateKey: random.bytes(32),
    now: clock.now() + offsetMs,
  })
  const timeout = new AbortController()
  const cancel = timers.after(EXCHANGE_TIMEOUT_MS, () =>
    timeout.abort(new Error(`no reply in ${EXCHANGE_TIMEOUT_MS} ms`)),
  )
  let reply: Uint8Array
  try {
    const either = signal === undefined ? timeout.signal : AbortSignal.any([signal, timeout.signal])
    reply = await input.exchange(door, pending.bytes, invite.body.meshId, either)
  } catch (cause) {
    signal?.throwIfAborted()
    // The door speaks to nobody whose clock is wrong: that is the reason, and not that it cannot be reached.
    const isSkewed = cause instanceof KithError && cause.code === 'clock-skew'
    const code: AdmissionCode = isSkewed ? 'clock-skew' : 'invite-issuer-unreachable'
    return new AdmissionError(
      code,
      `door ${door.address}: ${cause instanceof Error ? cause.message : String(cause)}`,
      { cause },
    )
  } finally {
    cancel()
  }
  try {
    return openReply(pending, reply)
  } catch (error) {
    if (error instanceof AdmissionError) return error // a lying door: the next one may be honest
    throw error
  }
}

function isSkew(
  outcome: JoinOutcome | AdmissionError,
): outcome is Extract<JoinOutcome, { outcome: 'refused' }> & { issuerTime: number } {
  return (
    !(outcome instanceof AdmissionError) &&
    outcome.outcome === 'refused' &&
    outcome.code === 'clock-skew' &&
    outcome.issuerTime !== null
  )
}

async function store(
  input: JoinInput,
  outcome: Extract<JoinOutcome, { outcome: 'accepted' }>,
): Promise<Joined> {
  const bootstrap = validBootstrapAddresses(outcome.bootstrap).map(({ address }) => address)
  const mesh: StoredMesh = {
    root: outcome.root,
    credentials: outcome.credentials,
    authority: null,
    bootstrap,
  }
  await saveMesh(input.store, mesh)
  return { mesh, member: outcome.member, clockOffsetMs: outcome.issuerTime - input.clock.now() }
}
