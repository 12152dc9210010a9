import {
  DIRECT_TIMEOUT_MS,
  HEALTH_MAX,
  HEALTH_RECOVERY_MS,
  NO_ACCUSING_MS,
  SILENT_TOGETHER_MIN,
  SILENT_TOGETHER_PAUSE_MS,
  STALL_HINT_MS,
} from './limits.ts'
import type { Context, MembershipState } from './state.ts'

/** A timeout of our own, longer while this node doubts itself. */
export function doubted({ health }: MembershipState, timeoutMs: number): number {
  return timeoutMs * (health.score + 1)
}

/** The process did not run for so long: what it did not hear in that time says nothing about others. */
export function stalled({ state, now }: Context, pauseMs: number): void {
  const { health } = state
  health.score = Math.min(HEALTH_MAX, health.score + Math.floor(pauseMs / STALL_HINT_MS))
  health.noAccusingUntil = now + NO_ACCUSING_MS
  health.nextDoubtAt = Math.min(health.nextDoubtAt, now + SILENT_TOGETHER_PAUSE_MS)
  health.recoveredAt = now
}

/** More than half of the neighbours silent at once: rather our own network than all of theirs. It recovers as they answer. */
export function tickHealth({ state, now }: Context): void {
  const { health } = state
  let linked = 0
  let silent = 0
  for (const link of state.links.values()) {
    if (!link.hello) continue
    linked++
    if (link.unansweredSince !== null && now - link.unansweredSince >= DIRECT_TIMEOUT_MS) silent++
  }
  if (silent >= SILENT_TOGETHER_MIN && silent * 2 > linked) {
    if (now < health.nextDoubtAt) return
    health.score = Math.min(HEALTH_MAX, health.score + 1)
    health.noAccusingUntil = now + NO_ACCUSING_MS
    health.nextDoubtAt = now + SILENT_TOGETHER_PAUSE_MS
    health.recoveredAt = now
  } else if (silent === 0 && health.score > 0 && now - health.recoveredAt >= HEALTH_RECOVERY_MS) {
    health.score--
    health.recoveredAt = now
  }
}
