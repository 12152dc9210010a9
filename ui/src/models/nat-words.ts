import type { NetcheckReport, PathReason } from '../../../node/api/path-schemas.ts'
import { formatBytes } from './format.ts'

type Nat = NetcheckReport['nat']

/** Whether others reach this node, and how. */
export interface ReachWords {
  readonly tone: 'ok' | 'info' | 'warning' | 'dash'
  readonly verdict: string
  readonly text: string
}

/** One thing a NAT does: the term of RFC 4787, its value there, and what that means. */
export interface NatPart {
  readonly term: string
  /** Null: not known, and `reason` says why. */
  readonly value: string | null
  readonly meaning: string
  readonly reason: PathReason | null
}

const MAPPINGS = {
  'endpoint-independent': 'one outside port for all targets',
  'address-dependent': 'a new outside port for each address',
  'address-and-port-dependent': 'a new outside port for each address and port',
} as const
const FILTERINGS = {
  'endpoint-independent': 'an open port lets in anybody',
  'address-dependent': 'an open port lets in any port of an address it has sent to',
  'address-and-port-dependent': 'an open port lets in only the address and port it has sent to',
} as const
const KINDS = {
  'full-cone': 'full cone',
  'address-restricted': 'address-restricted cone',
  'port-restricted': 'port-restricted cone',
  symmetric: 'symmetric',
} as const
/** The methods as routers' pages call them. */
export const MAPPING_METHODS = { upnp: 'UPnP', 'nat-pmp': 'NAT-PMP', pcp: 'PCP' } as const

/** What the NAT is called elsewhere (RFC 3489's names, which people still search for); null while nothing is known of it. */
export function natName({ kind, mapping }: Nat): string | null {
  if (kind !== null) return KINDS[kind]
  return mapping === null ? null : 'some kind of cone'
}

/** What the NAT means for direct connections, as the README's table of pairs says it. */
export function punchWords({ nat, dialable }: NetcheckReport): string {
  if (dialable === true) return 'Every peer can connect directly.'
  if (nat.mapping === null) return ''
  if (nat.mapping !== 'endpoint-independent')
    return 'Peers are met directly where they can be dialled, or let in any port of an address they have sent to; a relay carries the data for the others.'
  if (nat.filtering === null || nat.filtering === 'address-and-port-dependent')
    return 'Peers behind most NATs are met directly; a relay carries the data for those behind a symmetric one.'
  return 'Peers behind any NAT are met directly.'
}

/** What an address in IPv6 is good for. */
export function v6Words({ ipv6, dialable }: NetcheckReport): string {
  if (ipv6 === null) return 'no address of the internet'
  return dialable === true ? ipv6 : `${ipv6}: peers that have it too are met directly, whatever the NATs do`
}

/** What the NAT does, part by part. */
export function natParts({ mapping, filtering, keepsPort, hairpins, unknown }: Nat): NatPart[] {
  const part = (term: string, name: string, value: string | null, meaning: string): NatPart => ({
    term,
    value,
    meaning: value === null ? '' : meaning,
    reason: value === null ? (unknown.find((one) => one.part === name) ?? null) : null,
  })
  const yesNo = (value: boolean | null): string | null => (value === null ? null : value ? 'yes' : 'no')
  return [
    part('Mapping', 'mapping', mapping, mapping === null ? '' : MAPPINGS[mapping]),
    part('Filtering', 'filtering', filtering, filtering === null ? '' : FILTERINGS[filtering]),
    part(
      'Port preservation',
      'keepsPort',
      yesNo(keepsPort),
      keepsPort ? 'the outside port is the inside one where that is free' : 'it chooses outside ports itself',
    ),
    part(
      'Hairpinning',
      'hairpins',
      yesNo(hairpins),
      hairpins
        ? 'machines behind it reach each other at their outside addresses'
        : 'machines behind it do not reach each other at their outside addresses',
    ),
  ]
}

/** Why nothing at all of the NAT is known, said once: the mapping's reason; null when something is known. */
export function unknownWhole({ mapping, filtering, keepsPort, hairpins, unknown }: Nat): PathReason | null {
  const isNothingKnown = [mapping, filtering, keepsPort, hairpins].every((part) => part === null)
  return isNothingKnown ? (unknown[0] ?? null) : null
}

/** What this node carries for others. */
export function carriesWords(carries: NetcheckReport['carries']): string {
  if (carries === null) return 'nothing for others: it was started with --no-relay'
  const { reservations, circuits, bytesPerSecond, bytes } = carries
  const parts = [
    ...(reservations === 0
      ? []
      : [`keeps ${reservations === 1 ? 'one member' : `${reservations} members`} reachable`]),
    ...(circuits === 0
      ? []
      : [
          `${circuits === 1 ? 'one connection' : `${circuits} connections`} at ${formatBytes(bytesPerSecond)}/s`,
        ]),
    ...(bytes === 0 ? [] : [`${formatBytes(bytes)} so far`]),
  ]
  return parts.length === 0 ? 'nothing for others so far' : parts.join(', ')
}

/** Whether others reach this node, in words. */
export function reachWords(report: NetcheckReport): ReachWords {
  const held = report.relays.filter((relay) => relay.held).length
  if (report.dialable === true)
    return { tone: 'ok', verdict: 'reached directly', text: 'Other members reach this machine unasked.' }
  if (held > 0)
    return {
      tone: 'info',
      verdict: 'reached through relays',
      text: `${report.dialable === null ? 'It is not known whether others reach this machine unasked' : 'Nobody reaches this machine unasked'}, so ${held === 1 ? 'one member keeps' : `${held} members keep`} a way to it open.`,
    }
  if (report.dialable === null)
    return {
      tone: 'dash',
      verdict: 'not known',
      text: 'Nobody has said yet whether this machine is reached from the internet. Machines in the same network reach it.',
    }
  return {
    tone: 'warning',
    verdict: 'not reached',
    text: 'Nobody reaches this machine unasked, and no relay keeps a way to it open: peers wait until it calls them.',
  }
}
