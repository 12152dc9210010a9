import type { ReasonTable } from '../common/errors.ts'

const FORWARD = 'Forward the mesh port on either router, or switch on UPnP or NAT-PMP there.'
const RETRIED = 'Nothing to do: a relay carries the data, and the direct way is tried again later.'

/** Why two nodes meet directly, or don't. */
export const TRAVERSAL_REASONS = {
  'peer-dialable': {
    summary: 'One of the two can be dialled from the internet.',
    fix: 'None needed.',
  },
  'ports-known': {
    summary: 'Both NATs use one outside port for all targets, so both sides know where to dial.',
    fix: 'None needed.',
  },
  'filter-admits-any-port': {
    summary:
      'One NAT uses a new port for each target, the other lets in every port of an address it has sent to.',
    fix: 'None needed.',
  },
  'port-unknown': {
    summary:
      'One NAT uses a new port for each target, and the other lets in only the very port that was sent to: a relay carries the data.',
    fix: FORWARD,
  },
  'both-ports-unknown': {
    summary: 'Both NATs use a new port for each target: a relay carries the data.',
    fix: FORWARD,
  },
  'nat-not-seen': {
    summary: 'No other member has said yet from where it sees this node.',
    fix: 'Nothing to do while the node joins; if it stays, no member that can be dialled is online.',
  },
  'nat-one-reflector': {
    summary:
      'Only one member, or one of its ports, could be asked, which is not enough to tell what the NAT does.',
    fix: 'Nothing to do: it is asked again when another member can be dialled.',
  },
  'nat-not-probed': {
    summary: 'Nobody has tried yet to reach this node from where it would show what the NAT lets in.',
    fix: 'Nothing to do: it is asked again when another member can be dialled.',
  },
  'nat-views-contradict': {
    summary: 'The members asked say things of the NAT that cannot all be true at once.',
    fix: 'If it persists, several uplinks share the traffic, or one of the members asked tells lies.',
  },
  'nat-double': {
    summary: 'The router in front of this node stands behind another NAT itself.',
    fix: 'Put one of the two routers into bridge mode, or forward the mesh port on both.',
  },
  'nat-carrier': {
    summary: 'The provider translates the addresses of several customers (carrier-grade NAT).',
    fix: 'Ask the provider for a public address or use IPv6; otherwise forwarding a port has no effect.',
  },
  'nat-several-addresses': {
    summary: 'Different members see this node at different addresses.',
    fix: 'None needed; with several uplinks, tie the mesh to one of them.',
  },
  'reflector-unreachable': {
    summary: 'No member could say from where it sees the port that was opened for the direct connection.',
    fix: RETRIED,
  },
  'exchange-timeout': {
    summary: 'The other node did not answer in time over the relay.',
    fix: RETRIED,
  },
  'exchange-lost': {
    summary: 'The relayed stream ended before both nodes knew where to dial.',
    fix: RETRIED,
  },
  'exchange-malformed': {
    summary: 'The other node sent a message that does not belong to the exchange.',
    fix: 'Update both nodes to the same version; if it persists, the other side is broken or hostile.',
  },
  'exchange-replayed': {
    summary: 'The other node repeated an offer that had been answered before.',
    fix: 'If it persists, the other side is broken or hostile.',
  },
  'exchange-flood': {
    summary: 'The other node offered a direct connection too often.',
    fix: 'If it persists, the other side is broken or hostile.',
  },
  'no-endpoint': {
    summary: 'The other node named no address that may be dialled.',
    fix: RETRIED,
  },
  'peer-refused': {
    summary: 'The other node gave up the direct connection.',
    fix: RETRIED,
  },
  'punch-timeout': {
    summary: 'Both nodes dialled at once, and neither got through in time.',
    fix: FORWARD,
  },
  'attempt-limit': {
    summary: 'The other address refused every one of the connections that may be tried.',
    fix: FORWARD,
  },
  'nomination-wrong': {
    summary:
      'Somebody else than the other node was met on the port of the direct connection, and nobody else came.',
    fix: RETRIED,
  },
  'punch-stranger': {
    summary:
      'A connection from an address the other node did not name arrived on the port of a direct connection, and was closed.',
    fix: 'None needed.',
  },
  'socket-limit': {
    summary: 'More connections than are needed arrived on the port of a direct connection, and were closed.',
    fix: 'None needed.',
  },
  'punch-cancelled': {
    summary: 'The direct connection was no longer wanted.',
    fix: 'None needed.',
  },
  'address-not-public': {
    summary: 'An address that leads nowhere on the internet was not dialled.',
    fix: 'None needed.',
  },
  'address-own': {
    summary: 'An address of this node itself was not dialled.',
    fix: 'None needed.',
  },
  'address-not-vouched': {
    summary: 'An address at which nobody but the other node itself claims to have seen it was not dialled.',
    fix: 'None needed.',
  },
  'port-reserved': {
    summary: 'A port of well-known services (below 1024) was not dialled for a direct connection.',
    fix: 'None needed.',
  },
  'reflect-relayed': {
    summary: 'A member that is asked over a relay cannot say from where it sees this node.',
    fix: 'None needed: a member that can be dialled is asked instead.',
  },
  'reflect-flood': {
    summary: 'A member was asked too often to connect back.',
    fix: 'Nothing to do: it can be asked again after ten minutes.',
  },
  'punch-busy': {
    summary: 'Another direct connection to the same node, or as many as fit at once, are being tried.',
    fix: 'Nothing to do: the direct way is tried again later.',
  },
  'candidate-limit': {
    summary: 'The other node names more addresses than are tried.',
    fix: 'None needed.',
  },
  'endpoint-refused': {
    summary: 'An address the other node announced refused the connection.',
    fix: 'Nothing to do where a router stands in between; otherwise see whether the node listens there.',
  },
  'endpoint-silent': {
    summary: 'An address the other node announced did not answer, or not as that node.',
    fix: 'Forward the mesh port on its router, or let a firewall there pass it.',
  },
  'path-relay-up': {
    summary: 'A relay carries the data.',
    fix: 'None needed.',
  },
  'path-direct-up': {
    summary: 'The direct connection has answered and carries new streams.',
    fix: 'None needed.',
  },
  'path-direct-lost': {
    summary: 'The direct connection ended; new streams go through a relay.',
    fix: RETRIED,
  },
  'path-probe-timeout': {
    summary: 'The direct connection was made but did not answer in time.',
    fix: RETRIED,
  },
  'path-network-changed': {
    summary: 'This node moved to another network.',
    fix: 'Nothing to do: the direct way is tried again from there.',
  },
  'path-none': {
    summary: 'No relay and no direct connection leads to the other node.',
    fix: 'See whether the other node is online, and whether a relay can be reached.',
  },
} as const satisfies ReasonTable

/** Code of a way that was found, or of why there is none. */
export type TraversalCode = keyof typeof TRAVERSAL_REASONS
