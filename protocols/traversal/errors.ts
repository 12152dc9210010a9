import type { ReasonTable } from '../common/errors.ts'

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
    fix: 'Forward the mesh port on either router, or switch on UPnP or NAT-PMP there.',
  },
  'both-ports-unknown': {
    summary: 'Both NATs use a new port for each target: a relay carries the data.',
    fix: 'Forward the mesh port on either router, or switch on UPnP or NAT-PMP there.',
  },
} as const satisfies ReasonTable

/** Code of a way that was found, or of why there is none. */
export type TraversalCode = keyof typeof TRAVERSAL_REASONS
