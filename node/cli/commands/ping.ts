import type { Command } from 'commander'
import type { PingReply } from '../../api/schemas.ts'
import { fixOf } from '../../reasons.ts'
import { contextOf, type Context } from '../context.ts'
import { AnsweredError } from '../errors.ts'
import { parseWholeNumber } from '../output.ts'

/** Between two pings. */
const PING_INTERVAL_MS = 1000
/** Pings without `--until-direct`. */
const PINGS = 4
/** And with it: longer than any try for a direct way takes. */
export const PINGS_MAX = 100
/** With nothing that leads there so often in a row, no direct way is waited for. */
export const PATHLESS_MAX = 3

/** `ping`. */
export function addPingCommand(program: Command): void {
  program
    .command('ping')
    .description('time the way to another member')
    .argument('<peer>', 'node name or peer id')
    .option('--count <n>', 'stop after this many replies', parseWholeNumber)
    .option('--until-direct', 'stop at the first reply over a direct path')
    .action(async (peer: string, options: { count?: number; untilDirect?: true }, command: Command) => {
      const isUntilDirect = options.untilDirect === true
      const count = options.count ?? (isUntilDirect ? PINGS_MAX : PINGS)
      await ping(contextOf(command), peer, count, isUntilDirect)
    })
}

async function ping(
  { client, out, signal }: Context,
  peer: string,
  count: number,
  isUntilDirect: boolean,
): Promise<void> {
  const enough = new AbortController()
  const replies: PingReply[] = []
  const request = { peer, count, intervalMs: PING_INTERVAL_MS, lookForDirect: isUntilDirect }
  const ended = AbortSignal.any([signal, enough.signal])
  for await (const reply of client.stream<PingReply>('POST', '/ping', request, ended)) {
    replies.push(reply)
    out.show(reply, () => pingText(reply))
    if (isUntilDirect && isDecided(replies)) enough.abort()
  }
  const failure = isUntilDirect ? whyNotDirect(replies) : whyNoReply(replies)
  if (failure !== null) throw failure
}

/** Whether it is known that there is a direct way, or that there is none. */
export function isDecided(replies: readonly PingReply[]): boolean {
  const last = replies.at(-1)
  // It is null while a direct way is looked for, which the first ping began.
  if (last?.path === 'direct' || (last?.notDirect ?? null) !== null) return true
  const latest = replies.slice(-PATHLESS_MAX)
  return latest.length === PATHLESS_MAX && latest.every(({ path }) => path === 'none')
}

/** Why the last reply did not come over a direct path; null when it did, or when there was none. */
export function whyNotDirect(replies: readonly PingReply[]): AnsweredError | null {
  const last = replies.at(-1)
  if (last === undefined || (last.path === 'direct' && last.error === null)) return null
  const { notDirect, error, path } = last
  if (path === 'relay' && notDirect !== null)
    return new AnsweredError(notDirect.code, notDirect.text, notDirect.fix)
  if (error !== null) return new AnsweredError(error.code, error.text, fixOf(error.code))
  return new AnsweredError(
    'path-relay-up',
    'A relay carries the data, and a direct way is still looked for.',
    'Leave `--count` out to wait for it.',
  )
}

/** Why nothing answered; null when something did. */
export function whyNoReply(replies: readonly PingReply[]): AnsweredError | null {
  const last = replies.at(-1)
  if (last === undefined || last.error === null || replies.some(({ rttMs }) => rttMs !== null)) return null
  return new AnsweredError(last.error.code, last.error.text, fixOf(last.error.code))
}

function pingText(reply: PingReply): string {
  if (reply.error !== null)
    return `${reply.seq}: no reply from ${reply.name}: ${reply.error.text} [${reply.error.code}]`
  const via = reply.viaName === null ? '' : ` via ${reply.viaName}`
  return `${reply.seq}: ${reply.name} in ${reply.rttMs?.toFixed(1)} ms, path ${reply.path}${via}`
}
