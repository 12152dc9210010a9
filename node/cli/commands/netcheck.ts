import type { Command } from 'commander'
import type { NetcheckReport, PathReason } from '../../api/path-schemas.ts'
import { contextOf } from '../context.ts'
import { formatBytes, formatDuration, table } from '../output.ts'

/** `netcheck`. */
export function addNetcheckCommand(program: Command): void {
  program
    .command('netcheck')
    .description("this machine's NAT, whether others reach it, and its relays")
    .option('--last', 'what was found last, without measuring now')
    .action(async (options: { last?: true }, command: Command) => {
      const { client, out } = contextOf(command)
      const report = await client.get<NetcheckReport>(`/netcheck${options.last ? '' : '?measure=1'}`)
      out.show(report, () => netcheckText(report, Date.now()))
    })
}

/** The report as text; `now` in ms since the epoch. */
export function netcheckText(report: NetcheckReport, now: number): string {
  const { nat, views, silent, portMapping, relays, carries } = report
  const unknown = (part: string): string => {
    const reason = nat.unknown.find((each) => each.part === part)
    return reason === undefined ? '-' : `not known: ${reason.text}`
  }
  const yesNo = (value: boolean | null, part: string): string =>
    value === null ? unknown(part) : value ? 'yes' : 'no'
  const lines = [
    `measured   ${report.measuredAt === null ? 'not yet: no other member could be asked' : `${formatDuration(Math.max(0, now - report.measuredAt))} ago`}`,
    `reached    ${report.dialable === null ? 'not known yet' : report.dialable ? 'members reach this node unasked' : 'nobody reaches this node unasked'}`,
    `nat        ${nat.kind ?? '-'}`,
    `mapping    ${nat.mapping ?? unknown('mapping')}`,
    `filtering  ${nat.filtering ?? unknown('filtering')}`,
    `keeps port ${yesNo(nat.keepsPort, 'keepsPort')}`,
    `hairpins   ${yesNo(nat.hairpins, 'hairpins')}`,
    `IPv6       ${report.ipv6 === null ? 'no address of the internet' : `${report.ipv6}: members that have it too are met directly, whatever the NATs do`}`,
    `mapped     ${mappingText(portMapping, report.dialable !== true, now)}`,
    `relays     ${report.needsRelays ? `needed, ${relays.filter(({ held }) => held).length} held` : 'not needed'}`,
    ...(carries === null
      ? ['carries    nothing: started with --no-relay']
      : [
          `carries    ${carries.reservations} members reachable through here, ${carries.circuits} circuits, ${formatBytes(carries.bytesPerSecond)}/s, ${formatBytes(carries.bytes)} so far`,
        ]),
    ...nat.hints.map((hint) => `note       ${reasonText(hint)}`),
  ]
  const seen = views.map(({ name, asked, seen: outside }) => [name, asked, outside])
  const relayRows = relays.map(({ name, rttMs, held, peer }) => [
    name,
    rttMs === null ? '-' : `${rttMs.toFixed(1)} ms`,
    held ? 'held' : '-',
    peer,
  ])
  return [
    ...lines,
    ...(seen.length === 0 ? [] : ['', table(['ASKED', 'AT', 'SEES THIS NODE AT'], seen)]),
    // One that has several addresses is asked at each.
    ...new Set(silent.map(({ name, text }) => `${name} said nothing: ${text}`)),
    ...(relayRows.length === 0 ? [] : ['', table(['RELAY', 'RTT', 'RESERVATION', 'ID'], relayRows)]),
  ].join('\n')
}

function mappingText(
  { method, outside, expires, reason }: NetcheckReport['portMapping'],
  isNeeded: boolean,
  now: number,
): string {
  if (method === null && !isNeeded) return 'no, and none is needed'
  if (method === null) return reason === null ? 'no' : `no: ${reasonText(reason)}`
  const left = expires === null ? '' : `, for another ${formatDuration(Math.max(0, expires - now))}`
  return `${outside ?? '-'} by ${method}${left}${reason === null ? '' : `; ${reasonText(reason)}`}`
}

function reasonText({ code, text, fix }: PathReason): string {
  return `${text} [${code}]${fix === '' || fix === 'None needed.' ? '' : ` ${fix}`}`
}
