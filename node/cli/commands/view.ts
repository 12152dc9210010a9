import type { Command } from 'commander'
import type { Ways } from '../../api/path-schemas.ts'
import type { Peer, PingReply, Service, Status, Why } from '../../api/schemas.ts'
import { contextOf, type Context } from '../context.ts'
import { AnsweredError } from '../errors.ts'
import { formatBytes, formatDuration, parseWholeNumber, table } from '../output.ts'

/** Between two pings. */
const PING_INTERVAL_MS = 1000
/** With `--until-direct`: long enough for any hole punch, not for ever. */
const PINGS_MAX = 100

/** `status`, `peers`, `services`, `ping`, `why`. */
export function addViewCommands(program: Command): void {
  program
    .command('status')
    .description('this node, its mesh and what needs you')
    .action(async (_options, command: Command) => {
      const { client, out } = contextOf(command)
      const status = await client.get<Status>('/status')
      out.show(status, () => statusText(status))
    })
  program
    .command('peers')
    .description('the other members of the mesh')
    .action(async (_options, command: Command) => {
      const { client, out } = contextOf(command)
      const peers = await client.get<Peer[]>('/peers')
      out.show(peers, () =>
        peers.length === 0 ? 'No other member yet. Make an invite with `kith invite`.' : peersText(peers),
      )
    })
  program
    .command('services')
    .description('everything published in the mesh')
    .action(async (_options, command: Command) => {
      const { client, out } = contextOf(command)
      const services = await client.get<Service[]>('/services')
      out.show(services, () =>
        services.length === 0
          ? 'Nothing is published yet. Try `kith publish NAME PORT`.'
          : servicesText(services),
      )
    })
  program
    .command('ping')
    .description('time the way to another member')
    .argument('<peer>', 'node name or peer id')
    .option('--count <n>', 'stop after this many replies', parseWholeNumber)
    .option('--until-direct', 'stop at the first reply over a direct path')
    .action(async (peer: string, options: { count?: number; untilDirect?: true }, command: Command) => {
      await ping(
        contextOf(command),
        peer,
        options.count ?? (options.untilDirect === undefined ? 4 : PINGS_MAX),
        options.untilDirect === true,
      )
    })
  program
    .command('why')
    .description('why a service or a member can or cannot be reached')
    .argument('<subject>', 'service name, node name or peer id')
    .action(async (subject: string, _options, command: Command) => {
      const { client, out } = contextOf(command)
      const why = await client.get<Why>(`/why/${encodeURIComponent(subject)}`)
      out.show(why, () => whyText(why))
    })
}

async function ping(
  { client, out, signal }: Context,
  peer: string,
  count: number,
  untilDirect: boolean,
): Promise<void> {
  const enough = new AbortController()
  let answered = 0
  let last: PingReply | undefined
  const request = { peer, count, intervalMs: PING_INTERVAL_MS, lookForDirect: untilDirect }
  for await (const reply of client.stream<PingReply>(
    'POST',
    '/ping',
    request,
    AbortSignal.any([signal, enough.signal]),
  )) {
    last = reply
    if (reply.rttMs !== null) answered += 1
    out.show(reply, () => pingText(reply))
    // It is null while a direct way is looked for, which the first ping began.
    if (untilDirect && (reply.path === 'direct' || reply.notDirect !== null)) enough.abort()
  }
  if (untilDirect && last?.path === 'relay' && last.notDirect !== null)
    throw new AnsweredError(last.notDirect.code, last.notDirect.text, last.notDirect.fix)
  if (answered === 0 && last !== undefined && last.error !== null)
    throw new AnsweredError(last.error.code, last.error.text, '')
}

function pingText(reply: PingReply): string {
  if (reply.error !== null)
    return `${reply.seq}: no reply from ${reply.name}: ${reply.error.text} [${reply.error.code}]`
  const via = reply.via === null ? '' : ` via ${reply.via}`
  return `${reply.seq}: ${reply.name} in ${reply.rttMs?.toFixed(1)} ms, path ${reply.path}${via}`
}

function statusText(status: Status): string {
  const mesh =
    status.mesh === null
      ? 'none yet: `kith found` or `kith join INVITE`'
      : `${status.mesh.name} (${status.mesh.domain}), id ${status.mesh.id.slice(0, 8)}`
  const { known, alive, suspect, dead } = status.peers
  const lines = [
    `node     ${status.node.name}  ${status.node.id}`,
    `mesh     ${mesh}`,
    `state    ${status.state}, up ${formatDuration(status.uptimeMs)}, ${formatBytes(status.rssBytes)}`,
    ...(status.door ? ['door     only lets others in: no dashboard, DNS, gateway or services'] : []),
    `peers    ${known} known, ${alive} alive, ${suspect} suspect, ${dead} dead`,
    `listens  ${status.listen.join(' ') || '-'}`,
    ...status.warnings.map(
      (warning) =>
        `${warning.severity === 'info' ? 'note' : 'needs you'}: ${warning.text}\n         ${warning.fix}`,
    ),
  ]
  return lines.join('\n')
}

function peersText(peers: readonly Peer[]): string {
  const rows = peers.map((peer) => [
    peer.name,
    peer.state,
    pathText(peer, peers),
    peer.rttMs === null ? '-' : `${peer.rttMs.toFixed(1)} ms`,
    peer.epoch === null ? '-' : String(peer.epoch),
    peer.keyAgeMs === null ? '-' : formatDuration(peer.keyAgeMs),
    rotationText(peer.rotation),
    `${formatBytes(peer.rxBytes)}/${formatBytes(peer.txBytes)}`,
    peer.id,
  ])
  return table(['NAME', 'STATE', 'PATH', 'RTT', 'EPOCH', 'KEY AGE', 'ROTATION', 'RX/TX', 'ID'], rows)
}

/** `direct`, `relay via attic`. */
function pathText({ path, via }: Peer, peers: readonly Peer[]): string {
  return via === null ? path : `${path} via ${peers.find(({ id }) => id === via)?.name ?? via}`
}

/** `active`, `rotating`, `failed, 2 failures`. */
function rotationText(rotation: Peer['rotation']): string {
  if (rotation === null) return '-'
  const { state, failures } = rotation
  return failures === 0 ? state : `${state}, ${failures} failure${failures === 1 ? '' : 's'}`
}

function servicesText(services: readonly Service[]): string {
  const rows = services.map((service) => [
    service.name,
    service.proto,
    service.providers.map((provider) => `${provider.name}${provider.healthy ? '' : ' (down)'}`).join(', '),
    service.allowed.join(','),
    service.localUrl ?? (service.address === null ? '-' : `${service.address}:${service.port}`),
  ])
  return table(['NAME', 'PROTO', 'PROVIDER', 'ALLOWED', 'OPEN AT'], rows)
}

function waysText({ path, viaName, notDirect, tried, since }: Ways): string[] {
  const forText = formatDuration(Math.max(0, Date.now() - since))
  const rows = tried.map(({ way, endpoint, outcome, at, tookMs, reason }) => [
    way,
    endpoint ?? '-',
    outcome,
    tookMs === null ? '-' : `${tookMs} ms`,
    `${formatDuration(Math.max(0, Date.now() - at))} ago`,
    reason?.code ?? '-',
  ])
  return [
    `  path: ${path.text} [${path.code}]${viaName === null ? '' : ` via ${viaName}`}, for ${forText}`,
    ...(notDirect === null
      ? []
      : [`  not direct: ${notDirect.text} [${notDirect.code}]\n    ${notDirect.fix}`]),
    ...(rows.length === 0 ? [] : [table(['WAY', 'ENDPOINT', 'OUTCOME', 'TOOK', 'WHEN', 'REASON'], rows)]),
  ]
}

function whyText(why: Why): string {
  return [
    `${why.subject}: ${why.verdict}${why.path === 'none' ? '' : ` (${why.path})`}`,
    ...why.reasons.map(({ code, text, fix }) => `  ${code}: ${text}${fix === '' ? '' : `\n    ${fix}`}`),
    ...(why.ways === null ? [] : waysText(why.ways)),
  ].join('\n')
}
