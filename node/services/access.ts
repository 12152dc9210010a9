/** Who asks: a member as its certificate names it. */
export interface Requester {
  readonly id: string
  readonly name: string
  readonly tags: readonly string[]
}

/**
 * Whether `allow` of a service lets the member in: `members`, `peer:NAME` or `peer:ID`, `tag:TAG`. An empty list lets nobody
 * in; `lan` speaks of machines without a mesh identity and never of a member. The provider itself may always.
 */
export function isAllowed(allow: readonly string[], requester: Requester, providerId: string): boolean {
  if (requester.id === providerId) return true
  return allow.some((subject) => {
    const [kind, value] = splitSubject(subject)
    switch (kind) {
      case 'members':
        return true
      case 'peer':
        return value === requester.name || value === requester.id
      case 'tag':
        return requester.tags.includes(value)
      default:
        return false
    }
  })
}

function splitSubject(subject: string): [kind: string, value: string] {
  const colon = subject.indexOf(':')
  return colon < 0 ? [subject, ''] : [subject.slice(0, colon), subject.slice(colon + 1)]
}
