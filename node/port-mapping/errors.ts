import { KithError, type ReasonTable } from '../../protocols/common/errors.ts'

const FORWARD =
  'Forward the mesh port on the router by hand, or leave it: the direct way and relays need no mapping.'

/** Why the router has no mapping for the mesh port. A useless one is `nat-double` or `nat-carrier` of the ways through NATs. */
export const PORT_MAPPING_REASONS = {
  'mapping-no-gateway': {
    summary: 'The routing table names no default gateway that a port could be asked of.',
    fix: 'None needed where the machine stands on the internet itself; otherwise see its network settings.',
  },
  'mapping-none': {
    summary: 'The router answers neither PCP nor NAT-PMP nor UPnP.',
    fix: `Switch on UPnP or NAT-PMP on the router. ${FORWARD}`,
  },
  'mapping-refused': {
    summary: 'The router refused to map the mesh port.',
    fix: FORWARD,
  },
  'mapping-conflict': {
    summary: 'Every outside port asked for belongs to another host behind the router.',
    fix: FORWARD,
  },
  'mapping-no-address': {
    summary: 'The router has no public address itself: another NAT stands before it, or its uplink is down.',
    fix: 'Put one of the two routers into bridge mode, or ask the provider for a public address.',
  },
  'mapping-malformed': {
    summary: 'What answers as the router does not speak the protocol it claims to.',
    fix: FORWARD,
  },
  'mapping-lost': {
    summary: 'The router no longer confirms the mapping of the mesh port.',
    fix: 'Nothing to do: it is asked again.',
  },
  'mapping-router-restarted': {
    summary: 'The router forgot its mappings, and the mesh port was mapped anew.',
    fix: 'None needed.',
  },
} as const satisfies ReasonTable

/** Code of a mapping that failed. */
export type PortMappingCode = keyof typeof PORT_MAPPING_REASONS

/** A router, or what answers in its place, did not do what was asked. */
export class PortMappingError extends KithError<PortMappingCode> {}
