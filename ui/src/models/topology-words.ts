import type { Peer } from '../../../node/api/schemas.ts'
import { formatRtt } from './format.ts'
import { compareNames } from './peer-list.ts'

/** `3 direct, 1 through a relay, 2 without a way now.` */
export function topologySummary(peers: readonly Peer[]): string {
  const members = peers.filter(({ state }) => state !== 'left')
  if (members.length === 0) return 'No other machine is in the mesh yet.'
  const count = (path: Peer['path']): number => members.filter((peer) => peer.path === path).length
  const [direct, relayed, none] = [count('direct'), count('relay'), count('none')]
  const parts = [
    ...(direct === 0 ? [] : [`${direct} direct`]),
    ...(relayed === 0 ? [] : [`${relayed} through a relay`]),
    ...(none === 0 ? [] : [`${none} without a connection now`]),
  ]
  return `${members.length === 1 ? 'One peer' : `${members.length} peers`}: ${parts.join(', ')}.`
}

/** The way to each peer in words, by name. */
export function topologyWords(peers: readonly Peer[]): { readonly peer: Peer; readonly text: string }[] {
  return peers
    .filter(({ state }) => state !== 'left')
    .toSorted(compareNames)
    .map((peer) => ({ peer, text: wayText(peer, peers) }))
}

function wayText({ path, via, rttMs, state }: Peer, peers: readonly Peer[]): string {
  const ending = `${rttMs === null ? '' : `, ${formatRtt(rttMs)}`}${state === 'alive' ? '' : `, ${state}`}`
  if (path === 'none') return `no connection now${state === 'alive' ? '' : `, ${state}`}`
  if (path === 'direct') return `direct${ending}`
  const relay = peers.find(({ id }) => id === via)?.name ?? via
  return `through ${relay ?? 'a relay'}${ending}`
}
