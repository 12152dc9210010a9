import { REPORT_INTERVAL_MS, REPORTS_MAX } from './limits.ts'
import { emit, type Context } from './state.ts'

/** Reports a refusal, the same one of the same peer once a minute. */
export function report(ctx: Context, peer: string, code: string, text: string): void {
  const { reports } = ctx.state
  const key = `${peer} ${code}`
  if (ctx.now - (reports.get(key) ?? -Infinity) < REPORT_INTERVAL_MS) return
  if (reports.size >= REPORTS_MAX) reports.clear()
  reports.set(key, ctx.now)
  emit(ctx, { kind: 'membership.refused', severity: 'warning', peer, reason: code, text })
}
