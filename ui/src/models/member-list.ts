import type { AuthorityRow, MemberRow } from '../../../node/api/schemas.ts'

/** What an authority may be asked to do on these pages. */
export type Act = 'admit' | 'revoke'

const STATE_ORDER: readonly MemberRow['state'][] = ['suspect', 'alive', 'dead', 'left', 'revoked']

/** How a member is called: by its name, else by its id. */
export function calledOf({ name, id }: Pick<MemberRow, 'name' | 'id'>): string {
  return name ?? id
}

/**
 * Members without those who wait, of which every word of `text` occurs in name, id, state, role, tag, authority or reason;
 * those that need a look come first, the revoked last and the newest of them first.
 */
export function filterMembers(members: readonly MemberRow[], text: string): MemberRow[] {
  const words = text.toLowerCase().split(/\s+/).filter(Boolean)
  const matching = members.filter((member) => {
    if (member.state === 'pending') return false
    const { authority, revoked } = member
    const parts = [
      member.name ?? '',
      member.id,
      member.state,
      ...member.roles,
      ...member.tags.map((tag) => `tag:${tag}`),
      ...(authority === null ? [] : ['authority', ...authority.roles]),
      revoked?.reason ?? '',
    ]
    const haystack = parts.join(' ').toLowerCase()
    return words.every((word) => haystack.includes(word))
  })
  return matching.sort(
    (a, b) =>
      STATE_ORDER.indexOf(a.state) - STATE_ORDER.indexOf(b.state) ||
      (b.revoked?.at ?? 0) - (a.revoked?.at ?? 0) ||
      calledOf(a).localeCompare(calledOf(b)),
  )
}

/** Whether this node may do it; false while nothing is known. */
export function mayAct(members: readonly MemberRow[] | null, act: Act): boolean {
  const self = members?.find((member) => member.self)
  return self?.state !== 'revoked' && self?.authority?.roles.includes(act) === true
}

/** Why this node may not do it, and which nodes may; null when it may, or nothing is known yet. */
export function whyNot(members: readonly MemberRow[] | null, act: Act): string | null {
  if (members === null || mayAct(members, act)) return null
  const others = members.filter(
    ({ self, state, authority }) =>
      !self && state !== 'left' && state !== 'revoked' && authority?.roles.includes(act),
  )
  const what = act === 'admit' ? 'let machines in' : 'revoke members'
  const may = `This node is no authority that may ${what}`
  if (others.length === 0) return `${may}, and it knows of none that may.`
  const names = others.map(
    (other) => `${calledOf(other)}${other.state === 'alive' ? '' : ` (${other.state})`}`,
  )
  return `${may}. ${listed(names)} may.`
}

/** Whether a member can be revoked at all: not this node by itself, and not twice. */
export function isRevocable({ self, state }: MemberRow): boolean {
  return !self && state !== 'revoked' && state !== 'pending'
}

/**
 * What it means that one machine alone can admit or revoke, or none: what is lost with it. Null while there are two for
 * both, and for a mesh of which no authority is known.
 */
export function soleAuthorityText(rows: readonly AuthorityRow[]): string | null {
  const able = (act: Act): AuthorityRow[] => rows.filter(({ roles }) => roles.includes(act))
  const acts: readonly [Act, string][] = [
    ['admit', 'let machines in'],
    ['revoke', 'revoke members'],
  ]
  const alone = acts.filter(([act]) => able(act).length === 1)
  const [first] = alone
  if (first === undefined) return null
  const holder = able(first[0])[0]
  const isSame = alone.every(([act]) => able(act)[0]?.id === holder?.id)
  const what = alone.map(([, text]) => text).join(' and ')
  if (holder === undefined || !isSame)
    return 'One machine alone lets machines in, and another alone revokes members. If either is lost, nobody can do its part until the root key makes another authority.'
  return `Only ${calledOf(holder)} can ${what}. If that machine is lost, nobody can until the root key makes another authority.`
}

/** `a`, `a and b`, `a, b and c`. */
export function listed(names: readonly string[]): string {
  const last = names.at(-1) ?? ''
  return names.length < 2 ? last : `${names.slice(0, -1).join(', ')} and ${last}`
}
