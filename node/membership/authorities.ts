import { authorityBodyFormat, authorityFormat, credentialsFormat } from '../../protocols/admission/wire.ts'
import type { AuthorityBody } from '../../protocols/admission/wire.ts'
import { AdmissionError } from '../../protocols/admission/errors.ts'
import type { MembershipService } from '../../protocols/membership/service.ts'
import type { Clock, EmitEvent, Timers } from '../../protocols/common/ports.ts'
import { peerIdFromKey } from '../../protocols/common/peer-id.ts'

/** An authority this node knows of: by its own certificate, or by that beside a member's. */
export interface KnownAuthority {
  readonly id: string
  readonly key: Uint8Array
  readonly roles: AuthorityBody['roles']
  /** ms. */
  readonly notAfter: number
}

/** What an authority certificate says. @throws MalformedError */
export function readAuthority(certificate: Uint8Array): KnownAuthority {
  const { subject, roles, notAfter } = authorityBodyFormat.decode(authorityFormat.decode(certificate).body)
  return { id: peerIdFromKey(subject), key: subject, roles, notAfter }
}

/**
 * The authorities behind these certificates, each by the newest of them. All were checked before: credentials in the member
 * table are, and so are those of this node.
 */
function knownAuthorities(
  certificates: Iterable<Uint8Array>,
  isCut: (key: Uint8Array) => boolean,
): KnownAuthority[] {
  const known = new Map<string, KnownAuthority>()
  for (const certificate of certificates) {
    const authority = readAuthority(certificate)
    const held = known.get(authority.id)
    if (isCut(authority.key) || (held !== undefined && held.notAfter >= authority.notAfter)) continue
    known.set(authority.id, authority)
  }
  return [...known.values()]
}

/** Warned about so many days before an authority certificate ends: the ceremony takes a person. */
const WARNING_DAYS = [7, 30, 60] as const
const DAY_MS = 86_400_000
/** How often the dates are looked at. */
const WATCH_INTERVAL_MS = 6 * 3_600_000

/** The warning that is due for an end (ms): 7, 30 or 60 days; null while it is further away. */
export function dueWarning(notAfter: number, now: number): number | null {
  return WARNING_DAYS.find((days) => notAfter - now <= days * DAY_MS) ?? null
}

/** Warns before authority certificates end, once for each step and run; the result stops it. */
export function watchAuthorities(init: {
  readonly list: () => readonly KnownAuthority[]
  readonly clock: Clock
  readonly timers: Timers
  readonly emit: EmitEvent
}): () => void {
  const said = new Map<string, number>()
  const look = (): void => {
    for (const { id, notAfter } of init.list()) {
      const days = dueWarning(notAfter, init.clock.now())
      if (days === null) said.delete(id)
      if (days === null || said.get(id) === days) continue
      said.set(id, days)
      init.emit({
        kind: 'authority.expires',
        severity: days === 7 ? 'alert' : days === 30 ? 'warning' : 'notice',
        peer: id,
        text: `the authority certificate ends on ${new Date(notAfter).toISOString().slice(0, 10)}; \`kith authority add\` renews it`,
        fields: { days, expires: notAfter },
      })
    }
  }
  look()
  return init.timers.every(WATCH_INTERVAL_MS, look)
}

/** The authority certificate inside credentials. @throws MalformedError */
function authorityOf(credentials: Uint8Array): Uint8Array {
  return credentialsFormat.decode(credentials).authority
}

/** The authorities a node knows of: by what members show, and by certificates it holds itself. */
export function authoritiesIn(
  membership: Pick<MembershipService, 'members'>,
  held: readonly Uint8Array[],
  isCut: (key: Uint8Array) => boolean,
): KnownAuthority[] {
  const shown = membership.members().map(({ entry }) => authorityOf(entry.credentials))
  return knownAuthorities([...shown, ...held], isCut)
}

/** Whom a member asks for a fresh certificate: who admitted it first, then every other authority that is there. */
export function renewers(
  issuerId: string,
  selfId: string,
  membership: Pick<MembershipService, 'members' | 'member'>,
  isCut: (key: Uint8Array) => boolean,
): string[] {
  const others = authoritiesIn(membership, [], isCut)
    .filter(({ id, roles }) => roles.includes('admit') && membership.member(id)?.state === 'alive')
    .map(({ id }) => id)
  return [...new Set([issuerId, ...others])].filter((id) => id !== selfId)
}

/** The first answer of those asked in turn. Rejects as the last did. */
export async function askAny<T>(ids: readonly string[], ask: (id: string) => Promise<T>): Promise<T> {
  let failure: unknown = new AdmissionError('invite-issuer-unreachable', 'no authority is known')
  for (const id of ids) {
    try {
      return await ask(id)
    } catch (error) {
      failure = error
    }
  }
  throw failure
}
