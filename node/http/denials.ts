import type { Clock, EmitEvent } from '../../protocols/common/ports.ts'
import { DENIAL_WINDOW_MS, DENIALS_PER_WINDOW_MAX } from './limits.ts'

/** Kinds of refused requests that become events (and lines for Fail2Ban later). */
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

/**
 * Turns refusals into events, at most `DENIALS_PER_WINDOW_MAX` of a kind a window: whoever can make a browser send
 * requests must not be able to flood the log. The next event of the kind says how many were left out.
 */
export class Denials {
  readonly #windows = new Map<DenialKind, { startedAt: number; count: number; suppressed: number }>()
  readonly #clock: Clock
  readonly #emit: EmitEvent

  constructor(clock: Clock, emit: EmitEvent) {
    this.#clock = clock
    this.#emit = emit
  }

  /** Notes a request refused with `code`; codes that say nothing about an attacker are passed over. */
  record(code: string, method: string): void {
    const denial = DENIALS[code]
    if (denial === undefined) return
    const { kind, text } = denial
    const now = this.#clock.now()
    let window = this.#windows.get(kind)
    if (!window || now - window.startedAt >= DENIAL_WINDOW_MS || now < window.startedAt) {
      window = { startedAt: now, count: 0, suppressed: window?.suppressed ?? 0 }
      this.#windows.set(kind, window)
    }
    if (window.count >= DENIALS_PER_WINDOW_MAX) {
      window.suppressed++
      return
    }
    window.count++
    // Neither Host nor path: both are the attacker's text, and a path may hold a login code.
    const fields = { method: method.slice(0, 16), suppressed: window.suppressed }
    window.suppressed = 0
    this.#emit({ kind, severity: 'warning', reason: code, text, fields })
  }
}
