import type { Clock, Random, Signer, Store, Timers } from '../../protocols/common/ports.ts'
import type { Member } from '../../protocols/admission/certificates.ts'
import { AdmissionError, type AdmissionCode } from '../../protocols/admission/errors.ts'
import { readInvite, type Invite } from '../../protocols/admission/invite.ts'
import { acceptPeerInvite, readPeerInvite, type PeerInvite } from '../../protocols/admission/peer-invite.ts'
import { makeJoinRequest, openReply, type JoinOutcome } from '../../protocols/admission/join.ts'
import { KithError } from '../../protocols/common/errors.ts'
import { peerIdFromKey } from '../../protocols/common/peer-id.ts'
import { validBootstrapAddresses, type BootstrapAddress } from '../../bootstrap/addresses.ts'
import type { LanPeer } from '../../bootstrap/lan-tags.ts'
import { firstToSucceed } from '../transport/attempts.ts'
import { saveMesh, type StoredMesh } from './mesh-store.ts'

/** One try at one door, the door's own wait for the issuer included. */
export const EXCHANGE_TIMEOUT_MS = 15_000
/**
 * When the next door is asked beside those that have not answered: an inviter's address at home swallows what comes from
 * elsewhere. An issuer that is asked twice gives one answer, and no second use of the invite.
 */
const NEXT_DOOR_MS = 500
/** Between two questions of a joiner that waits for approval: a person who approves sees it join at once. */
const APPROVAL_POLL_MS = 3_000

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
  /** Where doors of the invite are on the LAN, asked when none of its addresses leads to one. */
  readonly nearby?: (meshId: Uint8Array, doors: readonly LanPeer[]) => Promise<BootstrapAddress[]>
  /** Told once when the join has to wait until somebody approves it. */
  readonly waiting?: (text: string) => void
}

/**
 * Joins by an invite: asks the doors, the next beside those that are slow, until the issuer answers, and stores what it says
 * before returning.
 * A clock the issuer calls wrong is corrected for one more try. Where a person has to approve, it asks again until one did.
 * @throws AdmissionError with the issuer's reason, or the last door's when the issuer was never reached.
 */
export async function joinMesh(input: JoinInput): Promise<Joined> {
  const bound = readPeerInvite(input.invite)
  if (bound !== null) return takeCertificate(input, bound)
  const invite = readInvite(input.invite, input.clock.now())
  let isWaiting = false
  for (;;) {
    const answer = await askDoors(input, invite)
    if (!(answer instanceof AdmissionError)) return store(input, answer)
    // While it waits, a door that is away for a moment ends nothing.
    const isAway = isWaiting && answer.code === 'invite-issuer-unreachable'
    if (answer.code !== 'join-pending' && !isAway) throw answer
    if (!isWaiting) input.waiting?.(answer.message)
    isWaiting = true
    await pause(input, APPROVAL_POLL_MS)
  }
}

/** A peer-bound invite has everything in it. */
async function takeCertificate(input: JoinInput, invite: PeerInvite): Promise<Joined> {
  const member = acceptPeerInvite(invite, input.signer.publicKey, input.clock.now())
  const { root, credentials } = invite
  const bootstrap = validBootstrapAddresses(invite.bootstrap).map(({ address }) => address)
  const mesh: StoredMesh = { root, credentials, authority: null, bootstrap }
  await saveMesh(input.store, mesh)
  return { mesh, member, clockOffsetMs: 0 }
}

/** One round over the doors of the invite, and then over those of them that show up on the LAN. */
async function askDoors(input: JoinInput, invite: Invite): Promise<Accepted | AdmissionError> {
  const { issuer, meshId, bootstrap } = invite.body
  const named = validBootstrapAddresses(bootstrap)
  const answer = await askAll(input, invite, named)
  const isAway = answer instanceof AdmissionError && answer.code === 'invite-issuer-unreachable'
  if (!isAway || input.nearby === undefined) return answer
  const peers = new Map(named.map(({ peer, key }) => [peer, key])).set(peerIdFromKey(issuer), issuer)
  const seen = await input.nearby(
    meshId,
    [...peers].map(([id, key]) => ({ id, key })),
  )
  return seen.length === 0 ? answer : askAll(input, invite, seen)
}

type Accepted = Extract<JoinOutcome, { outcome: 'accepted' }>

/** What the issuer says, or why it was not reached. A door that leads there ends the others. */
async function askAll(
  input: JoinInput,
  invite: Invite,
  doors: readonly BootstrapAddress[],
): Promise<Accepted | AdmissionError> {
  if (doors.length === 0)
    return new AdmissionError('invite-issuer-unreachable', 'the invite names no door that can be dialled')
  const answered = new AbortController()
  const signal = AbortSignal.any([answered.signal, ...(input.signal === undefined ? [] : [input.signal])])
  const failures = new Map<BootstrapAddress, AdmissionError>()
  const skew = { offsetMs: 0 }
  const tries = doors.map((door) => async () => {
    const { isFinal, answer } = await askDoor({ ...input, signal }, invite, door, skew)
    if (isFinal) return answer
    failures.set(door, answer)
    throw answer
  })
  try {
    return await firstToSucceed(tries, NEXT_DOOR_MS, signal)
  } catch (error) {
    input.signal?.throwIfAborted()
    if (!(error instanceof AdmissionError)) throw error
    return failures.get(doors.at(-1) as BootstrapAddress) ?? error
  } finally {
    answered.abort(new Error('another door has answered'))
  }
}

/** Asks one door; `isFinal`: it is the issuer's own word. A clock the issuer calls wrong is corrected, for the doors after it too. */
async function askDoor(
  input: JoinInput,
  invite: Invite,
  door: BootstrapAddress,
  skew: { offsetMs: number },
): Promise<
  { isFinal: true; answer: Accepted | AdmissionError } | { isFinal: false; answer: AdmissionError }
> {
  let outcome = await tryDoor(input, invite, door, skew.offsetMs)
  if (isSkew(outcome)) {
    skew.offsetMs = outcome.issuerTime - input.clock.now()
    outcome = await tryDoor(input, invite, door, skew.offsetMs)
  }
  if (outcome instanceof AdmissionError) return { isFinal: false, answer: outcome }
  if (outcome.outcome === 'accepted') return { isFinal: true, answer: outcome }
  if (outcome.by === 'issuer')
    return { isFinal: true, answer: new AdmissionError(outcome.code, outcome.text) }
  const answer = new AdmissionError(outcome.code, `door ${door.peer}: ${outcome.text}`)
  return { isFinal: false, answer }
}

function pause({ timers, signal }: JoinInput, ms: number): Promise<void> {
  return new Promise((resolve, reject) => {
    const stopped = (): void => {
      cancel()
      reject(signal?.reason as Error)
    }
    const cancel = timers.after(ms, () => {
      signal?.removeEventListener('abort', stopped)
      resolve()
    })
    if (signal?.aborted === true) stopped()
    else signal?.addEventListener('abort', stopped, { once: true })
  })
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
