import type { Endpoint } from './endpoint.ts'
import type { TraversalCode } from './errors.ts'
import { ATTEMPT_MS, REFLECT_MS } from './limits.ts'
import type { PartialStanding } from './nat.ts'
import type { PunchEffect, PunchRole, SocketId } from './punch-events.ts'

/** What an attempt starts with. */
export interface PunchOptions {
  /** Peer id texts: when both offer at once, the lower one stays initiator. */
  readonly ownId: string
  readonly peerId: string
  /** 16 fresh random bytes. */
  readonly nonce: Uint8Array
  readonly standing: PartialStanding | null
  /** As far as it is known before the exchange. */
  readonly peerStanding: PartialStanding | null
  /** Both nodes have an address of IPv6's internet: where no two NATs meet over IPv4, firewalls over IPv6 do. */
  readonly hasV6: boolean
  /** Addresses where the other node is known to be, see `chooseEndpoints`; null when nobody can say. */
  readonly vouched: readonly Uint8Array[] | null
}

/** Where one of the other side's endpoints is: when it is dialled next, null while it is or when it is no more. */
interface Target {
  readonly endpoint: Endpoint
  retryAt: number | null
}

/** A socket that was not closed yet. */
interface PunchSocket {
  isOpen: boolean
  /** Null for accepted ones. */
  readonly target: Target | null
  readonly endpoint: Endpoint
  isNominated: boolean
}

/** Codes of what physics forbids. */
export type ImpossibleCode = Extract<TraversalCode, 'port-unknown' | 'both-ports-unknown'>

/** One attempt. Owned by the machine: only `step` changes it. Times in ms. */
export interface PunchState {
  readonly options: PunchOptions
  role: PunchRole
  phase: 'reflecting' | 'offered' | 'answered' | 'pacing' | 'punching' | 'ended'
  nonce: Uint8Array
  readonly deadline: number
  /** When the present phase ends by itself. */
  phaseUntil: number
  /** When the OFFER was sent or arrived. */
  offeredAt: number
  /** Why the NATs of the two allow no direct way over IPv4; null where they may. */
  impossible: ImpossibleCode | null
  own: readonly Endpoint[]
  /** Named in the other side's half. */
  named: readonly Endpoint[]
  targets: Target[]
  readonly sockets: Map<SocketId, PunchSocket>
  connects: number
  isListening: boolean
  /** When another socket is nominated too; null before the first. */
  nominateAt: number | null
  kept: SocketId | null
  hasMetStranger: boolean
  reports: number
  rttMs: number | null
}

/** A state before anything was done; `startPunch` and `answerPunch` make whole ones. */
export function emptyPunch(options: PunchOptions, role: PunchRole, now: number): PunchState {
  return {
    options,
    role,
    phase: 'reflecting',
    nonce: options.nonce,
    deadline: now + ATTEMPT_MS,
    phaseUntil: now + REFLECT_MS,
    offeredAt: now,
    impossible: null,
    own: [],
    named: [],
    targets: [],
    sockets: new Map(),
    connects: 0,
    isListening: false,
    nominateAt: null,
    kept: null,
    hasMetStranger: false,
    reports: 0,
    rttMs: null,
  }
}

/** When `wake` is due; null once the attempt has ended. */
export function nextWakeAt(state: PunchState): number | null {
  if (state.phase === 'ended') return null
  const retries = state.targets.flatMap(({ retryAt }) => retryAt ?? [])
  const nomination = state.nominateAt ?? Number.POSITIVE_INFINITY
  return Math.min(state.deadline, state.phaseUntil, nomination, ...retries)
}

/** State and first effects of an attempt. */
export type PunchStart = readonly [PunchState, PunchEffect[]]
