import type { IncomingMessage } from 'node:http'
import type { Socket } from 'node:net'
import type { EmitEvent } from '../../protocols/common/ports.ts'

/** Kinds of refused requests that become events, and lines for Fail2Ban. */
type DenialKind = 'host.denied' | 'csrf.denied' | 'auth.failed'

/** The refusals that say something about an attacker, by their code. */
const DENIALS: Readonly<Record<string, { kind: DenialKind; text: string }>> = {
  'host-denied': {
    kind: 'host.denied',
    text: 'Refused: the dashboard was asked for under a name that is not its own.',
  },
  'origin-denied': {
    kind: 'csrf.denied',
    text: 'Refused: another site tried to use the dashboard.',
  },
  'write-token-missing': {
    kind: 'csrf.denied',
    text: 'Refused: a tab without write token tried to change something.',
  },
  'login-link-spent': {
    kind: 'auth.failed',
    text: 'Refused: a login link that is spent, or never existed, was opened.',
  },
}

/** Turns refusals into events. How many of a kind reach the log is the node's to limit (`node/log/quota.ts`). */
export class Denials {
  readonly #emit: EmitEvent

  constructor(emit: EmitEvent) {
    this.#emit = emit
  }

  /** Notes a request refused with `code`; codes that say nothing about an attacker are passed over. */
  record(code: string, request: IncomingMessage): void {
    const denial = DENIALS[code]
    if (denial === undefined) return
    const { kind, text } = denial
    // Neither Host nor path: both are the attacker's text, and a path may hold a login code.
    this.#emit({
      kind,
      severity: 'warning',
      reason: code,
      text,
      fields: { method: (request.method ?? '').slice(0, 16), ...originOf(request.socket) },
    })
  }
}

/** Where a request came from, as a multiaddr; nothing when the connection is gone already. */
function originOf({ remoteAddress, remotePort }: Socket): { from?: string } {
  if (remoteAddress === undefined || remotePort === undefined) return {}
  return { from: `/${remoteAddress.includes(':') ? 'ip6' : 'ip4'}/${remoteAddress}/tcp/${remotePort}` }
}
