import type { Clock, EmitEvent, EventInput } from '../../protocols/common/ports.ts'
import { MEMBERS_KINDS, STRANGERS_KINDS } from './event-kinds.ts'

/** Events in a minute of one kind that strangers can cause; a burst must not push everything else out of the log. */
export const QUOTA_PER_MINUTE = 20
/** The same for kinds that take a proven member: a restart in a mesh of a hundred stays below it. */
export const MEMBER_QUOTA_PER_MINUTE = 120
const MINUTE_MS = 60_000

const QUOTAS: ReadonlyMap<string, number> = new Map([
  ...STRANGERS_KINDS.map((kind) => [kind, QUOTA_PER_MINUTE] as const),
  ...MEMBERS_KINDS.map((kind) => [kind, MEMBER_QUOTA_PER_MINUTE] as const),
])

/**
 * Passes events on, those others can cause at will only so many of a kind a minute. Nothing is silent: the first one after a
 * flood says in `suppressed` how many were left out.
 * @param tap told every event, before any is left out.
 */
export function withQuota(emit: EmitEvent, clock: Clock, tap: EmitEvent = () => undefined): EmitEvent {
  const windows = new Map<string, { minute: number; count: number; suppressed: number }>()
  return (event: EventInput) => {
    tap(event)
    const quota = QUOTAS.get(event.kind)
    if (quota === undefined) return emit(event)
    const minute = Math.floor(clock.now() / MINUTE_MS)
    const window = windows.get(event.kind) ?? { minute, count: 0, suppressed: 0 }
    windows.set(event.kind, window)
    if (window.minute !== minute) Object.assign(window, { minute, count: 0 })
    if (window.count >= quota) {
      window.suppressed += 1
      return
    }
    window.count += 1
    const { suppressed } = window
    window.suppressed = 0
    emit(suppressed === 0 ? event : { ...event, fields: { ...event.fields, suppressed } })
  }
}
