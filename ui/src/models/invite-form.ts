import { computed, signal } from '@preact/signals'
import type { InviteInput, Role } from '../../../node/api/schemas.ts'

const LABEL = /^[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?$/
const TAG = /^[a-z0-9][a-z0-9-]{0,30}$/
const PEER_ID = /^12D3KooW[1-9A-HJ-NP-Za-km-z]{44}$/
const TAGS_MAX = 16
const USES_MAX = 1000
const DAY_MS = 86_400_000

/** The invite form: what is chosen, what is wrong with it, what would be sent. The server checks again. */
export function createInviteForm() {
  /** `link`: whoever has the link; `approve`: each waits for a person; `peer`: one machine, known by its id. */
  const kind = signal<'link' | 'approve' | 'peer'>('link')
  const name = signal('')
  const peer = signal('')
  const uses = signal(1)
  const ttlMs = signal(DAY_MS)
  const roles = signal<Role[]>([])
  const tags = signal('')

  const tagList = computed(() => [...new Set(tags.value.split(/[\s,]+/).filter(Boolean))])
  const problems = computed(() => {
    const found: { name?: string; peer?: string; uses?: string; tags?: string } = {}
    const isForPeer = kind.value === 'peer'
    if (isForPeer && name.value === '') found.name = 'An invite for one machine names it.'
    else if (name.value !== '' && !LABEL.test(name.value))
      found.name = 'Lower-case letters, digits and hyphens.'
    if (isForPeer && !PEER_ID.test(peer.value))
      found.peer = 'A peer id starts with 12D3KooW; on that machine “kith status” shows it.'
    const isCount = Number.isInteger(uses.value) && uses.value >= 1 && uses.value <= USES_MAX
    if (!isForPeer && !isCount) found.uses = `From 1 to ${USES_MAX}.`
    const wrong = tagList.value.find((tag) => !TAG.test(tag))
    if (wrong !== undefined) found.tags = `“${wrong}” is no tag: lower-case letters, digits and hyphens.`
    else if (tagList.value.length > TAGS_MAX) found.tags = `${TAGS_MAX} tags at most.`
    return found
  })
  const input = computed((): Partial<InviteInput> => ({
    ...(name.value !== '' && { name: name.value }),
    roles: roles.value,
    tags: tagList.value,
    // What is for one machine has one use, waits for nobody and ends when the node says.
    ...(kind.value === 'peer'
      ? { peer: peer.value }
      : { uses: uses.value, ttlMs: ttlMs.value, approve: kind.value === 'approve' }),
  }))

  return {
    kind,
    name,
    peer,
    uses,
    ttlMs,
    roles,
    tags,
    problems,
    input,
    valid: computed(() => Object.keys(problems.value).length === 0),
    toggle(role: Role, isOn: boolean): void {
      roles.value = isOn ? [...roles.value, role] : roles.value.filter((one) => one !== role)
    },
  }
}
