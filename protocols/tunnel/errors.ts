import { KithError, type ReasonTable } from '../common/errors.ts'

/** Why a service cannot be reached. */
export const TUNNEL_REASONS = {
  'service-unknown': {
    summary: 'No member publishes a service of this name.',
    fix: 'Check the name with `kith services`; publish it with `kith publish NAME TARGET`.',
  },
  'peer-unknown': {
    summary: 'No member of the mesh has this name or id.',
    fix: 'Check the name with `kith peers`.',
  },
  'peer-unreachable': {
    summary: 'There is no connection to the member that provides this.',
    fix: 'Check that the machine is on and its mesh port reachable; `kith why PEER` shows what was tried.',
  },
  'peer-dead': {
    summary: 'The member that provides this has stopped answering.',
    fix: 'Start Kith on that machine, or check its network.',
  },
  'not-allowed': {
    summary: 'The provider does not allow this node to reach the service.',
    fix: 'Publish it again there with `--allow peer:NAME`, `--allow tag:TAG` or `--allow members`.',
  },
  'target-refused': {
    summary: 'The provider was reached, but nothing listens at the target of the service.',
    fix: 'Start the program on the provider, or publish the right port.',
  },
  'target-timeout': {
    summary: 'The provider was reached, but the target of the service did not answer in time.',
    fix: 'Check the program and its firewall on the provider.',
  },
  'target-invalid': {
    summary: 'The target is no port, host:port, URL or folder.',
    fix: 'Use for example 3000, 192.168.1.5:80, http://localhost:3000 or ./public.',
  },
  'too-many-streams': {
    summary: 'The limit of open streams to this provider is reached.',
    fix: 'Close some connections; if a program opens them without end, stop it.',
  },
  'too-many-services': {
    summary: 'This node publishes as many services as one registration record holds.',
    fix: 'Unpublish one first, or publish from another node.',
  },
  'stream-failed': {
    summary: 'The connection to the provider broke while the service was in use.',
    fix: 'Try again; `kith events` shows what happened to the connection.',
  },
  'no-mesh': {
    summary: 'This node belongs to no mesh yet.',
    fix: 'Found one with `kith found`, or join one with `kith join INVITE`.',
  },
} as const satisfies ReasonTable

/** A code of `TUNNEL_REASONS`. */
export type TunnelReason = keyof typeof TUNNEL_REASONS

/** A service that cannot be reached or published, with the reason. */
export class TunnelError extends KithError<TunnelReason> {}

/** Whether a code from the wire is one of ours; a newer peer may send others. */
export function isTunnelReason(code: string): code is TunnelReason {
  return Object.hasOwn(TUNNEL_REASONS, code)
}
