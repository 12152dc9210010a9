import type { Peer, Service } from '../../../node/api/schemas.ts'

const NAMES = new Intl.Collator('en', { numeric: true })
const STATE_ORDER: readonly Peer['state'][] = ['suspect', 'alive', 'dead', 'left']

/** Order of names: machine-2 before machine-10. */
export function compareNames(a: Pick<Peer, 'name'>, b: Pick<Peer, 'name'>): number {
  return NAMES.compare(a.name, b.name)
}

/** Peers that match every word of `text` in name, id, state, path, role or tag; those that need a look come first. */
export function filterPeers(peers: readonly Peer[], text: string): Peer[] {
  const words = text.toLowerCase().split(/\s+/).filter(Boolean)
  const matching = peers.filter((peer) => {
    const tags = peer.tags.map((tag) => `tag:${tag}`)
    const haystack = [peer.name, peer.id, peer.state, peer.path, ...peer.roles, ...tags]
      .join(' ')
      .toLowerCase()
    return words.every((word) => haystack.includes(word))
  })
  return matching.sort(
    (a, b) => STATE_ORDER.indexOf(a.state) - STATE_ORDER.indexOf(b.state) || compareNames(a, b),
  )
}

/** How a service does: all providers healthy, some, none, or nobody provides it. */
export function serviceHealth({ providers }: Service): 'healthy' | 'degraded' | 'down' {
  const healthy = providers.filter((provider) => provider.healthy).length
  if (healthy === 0) return 'down'
  return healthy === providers.length ? 'healthy' : 'degraded'
}
