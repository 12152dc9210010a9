import type { Command } from 'commander'
import type { Ways } from '../../api/path-schemas.ts'
import type { Peer, Service, Status, Why } from '../../api/schemas.ts'
import { contextOf } from '../context.ts'
import { formatBytes, formatDuration, table } from '../output.ts'

/** `status`, `peers`, `services`, `why`. */
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
    .command('why')
    .description('why a service or a member can or cannot be reached')
    .argument('<subject>', 'service name, node name or peer id')
    .action(async (subject: string, _options, command: Command) => {
      const { client, out } = contextOf(command)
      const why = await client.get<Why>(`/why/${encodeURIComponent(subject)}`)
      out.show(why, () => whyText(why))
    })
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
