import { equalBytes } from '../../protocols/common/bytes.ts'
import { MalformedError } from '../../protocols/common/errors.ts'
import { peerIdFromKey } from '../../protocols/common/peer-id.ts'
import type { EmitEvent, Timers } from '../../protocols/common/ports.ts'
import { doorRefusal, readJoinRoute } from '../../protocols/admission/join.ts'
import type { AdmissionCode } from '../../protocols/admission/errors.ts'

/** Joins one door carries at the same time; beyond it a joiner is asked to come again. */
export const DOOR_JOINS_MAX = 64
/** How long the door waits for the issuer, below any patience of a joiner. */
export const FORWARD_TIMEOUT_MS = 10_000

/** What a door needs. */
export interface DoorInit {
  /** This node's key, 32 bytes. */
  readonly selfKey: Uint8Array
  /** Redeems here; null on a node that is no admit authority. */
  readonly redeem: ((request: Uint8Array) => Promise<Uint8Array>) | null
  /** Carries the request to the issuer over the mesh. */
  readonly forwardTo: (issuerPeerId: string, request: Uint8Array, signal: AbortSignal) => Promise<Uint8Array>
  readonly timers: Timers
  readonly emit: EmitEvent
}

/** Handler of the join exchange: request, the key the joiner proved and its address, to reply. */
export type JoinHandler = (
  request: Uint8Array,
  joinerKey: Uint8Array,
  signal: AbortSignal,
  from?: string,
) => Promise<Uint8Array>

/** Any member can be the door: it carries bytes it can neither read nor alter, and never admits by itself. */
export function createDoor(init: DoorInit): JoinHandler {
  let joins = 0
  return async (request, joinerKey, signal, from) => {
    const peer = peerIdFromKey(joinerKey)
    const refuse = (code: AdmissionCode, text: string): Uint8Array => {
      init.emit({
        kind: 'join.turned-away',
        severity: 'info',
        peer,
        reason: code,
        text,
        ...(from === undefined ? {} : { fields: { from } }),
      })
      return doorRefusal(code, text)
    }
    if (joins >= DOOR_JOINS_MAX) return refuse('door-busy', `${joins} joins are under way`)
    joins++
    try {
      const { issuer, joiner } = readJoinRoute(request)
      if (!equalBytes(joiner, joinerKey))
        return refuse('join-wrong-key', `the request is of ${peerIdFromKey(joiner)}`)
      if (!equalBytes(issuer, init.selfKey))
        return await forward(init, peerIdFromKey(issuer), request, signal, refuse)
      if (init.redeem === null) return refuse('join-not-issuer', 'this node is no authority any more')
      return await init.redeem(request)
    } catch (error) {
      if (error instanceof MalformedError) return refuse('join-request-malformed', error.message)
      throw error
    } finally {
      joins--
    }
  }
}

async function forward(
  init: DoorInit,
  issuer: string,
  request: Uint8Array,
  signal: AbortSignal,
  refuse: (code: AdmissionCode, text: string) => Uint8Array,
): Promise<Uint8Array> {
  const timeout = new AbortController()
  const cancel = init.timers.after(FORWARD_TIMEOUT_MS, () =>
    timeout.abort(new Error(`no answer in ${FORWARD_TIMEOUT_MS} ms`)),
  )
  try {
    return await init.forwardTo(issuer, request, AbortSignal.any([signal, timeout.signal]))
  } catch (error) {
    const text = error instanceof Error ? error.message : String(error)
    return refuse('invite-issuer-unreachable', `${issuer}: ${text}`)
  } finally {
    cancel()
  }
}
