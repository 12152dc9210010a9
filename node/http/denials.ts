import type { Clock, EmitEvent } from '../../protocols/common/ports.ts'
import { DENIAL_WINDOW_MS, DENIALS_PER_WINDOW_MAX } from './limits.ts'

/** Kinds of refused requests that become events (and lines for Fail2Ban later). */
export type DenialKind = 'host.denied' | 'csrf.denied' | 'auth.failed'

const TEXTS: Readonly<Record<DenialKind, string>> = {
  'host.denied': 'The dashboard was asked for under a name that is not its own, and refused',
  'csrf.denied': 'Another site, or a tab without write token, tried to use the dashboard, and was refused',
  'auth.failed': 'A login link that is spent or never existed was opened',
}

/** The kind of event a refusal is, undefined for those that say nothing about an attacker. */
export function denialKind(code: string): DenialKind | undefined {
  if (code === 'host-denied') return 'host.denied'
  if (code === 'origin-denied' || code === 'write-token-missing') return 'csrf.denied'
  if (code === 'login-link-spent') return 'auth.failed'
  return undefined
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

  record(kind: DenialKind, reason: string, method: string): void {
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
    this.#emit({ kind, severity: 'warning', reason, text: TEXTS[kind], fields })
  }
}
