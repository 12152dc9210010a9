import { computed, signal } from '@preact/signals'
import type { PublishInput, ServiceProtocol } from '../../../node/api/schemas.ts'

const LABEL = /^[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?$/
const SUBJECT = /^(members|lan|peer:[a-zA-Z0-9-]{1,63}|tag:[a-z0-9][a-z0-9-]{0,30})$/

/** The publish form: what is typed, what is wrong with it, what would be sent. The server checks again. */
export function createPublishForm() {
  const name = signal('')
  const target = signal('')
  const proto = signal<ServiceProtocol | 'auto'>('auto')
  const everyone = signal(true)
  const subjects = signal('')
  const crossSite = signal(false)

  const allow = computed(() =>
    everyone.value ? ['members'] : subjects.value.split(/[\s,]+/).filter(Boolean),
  )
  const problems = computed(() => {
    const found: { name?: string; target?: string; allow?: string } = {}
    if (name.value === '') found.name = 'Give the service a name.'
    else if (!LABEL.test(name.value)) found.name = 'Lower-case letters, digits and hyphens, such as “wiki”.'
    if (target.value.trim() === '') found.target = 'A port, host:port, URL or folder.'
    const wrong = allow.value.find((subject) => !SUBJECT.test(subject))
    if (allow.value.length === 0) found.allow = 'Name at least one, or let every member in.'
    else if (wrong !== undefined) found.allow = `“${wrong}” is neither tag:NAME, peer:NAME, members nor lan.`
    return found
  })
  const input = computed((): Partial<PublishInput> => ({
    name: name.value,
    target: target.value.trim(),
    ...(proto.value !== 'auto' && { proto: proto.value }),
    allow: allow.value,
    crossSite: crossSite.value,
  }))

  return {
    name,
    target,
    proto,
    everyone,
    subjects,
    crossSite,
    problems,
    input,
    valid: computed(() => Object.keys(problems.value).length === 0),
  }
}
