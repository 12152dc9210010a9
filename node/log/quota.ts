import type { Clock, EmitEvent, EventInput } from '../../protocols/common/ports.ts'

/** Events of one kind in a minute; a burst must not push everything else out of the log. */
export const QUOTA_PER_MINUTE = 20
const MINUTE_MS = 60_000

/** Kinds that whoever reaches a port of this node can cause at will. */
const LIMITED_KINDS: ReadonlySet<string> = new Set([
  'auth.failed',
  'connection.refused',
  'csrf.denied',
  'dial.failed',
  'forward.failed',
  'gateway.denied',
  'gateway.failed',
  'handshake.failed',
  'host.denied',
  'join.refused',
  'join.turned-away',
  'join.forward-refused',
  'membership.refused',
  'service.denied',
  'service.failed',
  'tunnel.failed',
])

/**
 * Passes events on, those others can cause at will only `QUOTA_PER_MINUTE` of a kind a minute. Nothing is silent: the first one
 * after a flood says in `suppressed` how many were left out.
 */
export function withQuota(emit: EmitEvent, clock: Clock): EmitEvent {
  const windows = new Map<string, { minute: number; count: number; suppressed: number }>()
  return (event: EventInput) => {
    if (!LIMITED_KINDS.has(event.kind)) return emit(event)
    const minute = Math.floor(clock.now() / MINUTE_MS)
    const window = windows.get(event.kind) ?? { minute, count: 0, suppressed: 0 }
    windows.set(event.kind, window)
    if (window.minute !== minute) Object.assign(window, { minute, count: 0 })
    if (window.count >= QUOTA_PER_MINUTE) {
      window.suppressed += 1
      return
    }
    window.count += 1
    const { suppressed } = window
    window.suppressed = 0
    emit(suppressed === 0 ? event : { ...event, fields: { ...event.fields, suppressed } })
  }
}
