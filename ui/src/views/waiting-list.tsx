import { useSignal } from '@preact/signals'
import type { MemberRow } from '../../../node/api/schemas.ts'
import { useApp } from '../context.ts'
import { formatAge } from '../models/format.ts'
import { calledOf } from '../models/member-list.ts'
import { Icon } from '../parts/icon.tsx'
import { Problem } from '../parts/problem.tsx'

/** Machines that brought an invite which waits for a person: this one. */
export function WaitingList({ waiting }: { waiting: readonly MemberRow[] }) {
  const failure = useSignal<unknown>(null)
  return (
    <section class="card waiting" aria-labelledby="waiting">
      <h2 id="waiting">
        {waiting.length === 1 ? 'One machine waits for you' : `${waiting.length} machines wait for you`}
      </h2>
      <p class="muted">
        Whoever is let in becomes a member at once. Compare the id with what <code>kith status</code> shows
        there.
      </p>
      {failure.value ? <Problem error={failure.value} /> : null}
      <ul>
        {waiting.map((member) => (
          <Waiting key={member.id} member={member} onFailure={(error) => (failure.value = error)} />
        ))}
      </ul>
    </section>
  )
}

function Waiting({ member, onFailure }: { member: MemberRow; onFailure: (error: unknown) => void }) {
  const { api, node, notice, now } = useApp()
  const busy = useSignal(false)
  const name = calledOf(member)
  const decide = async (deny: boolean): Promise<void> => {
    busy.value = true
    onFailure(null)
    try {
      await api.approve({ peer: member.id, deny })
      notice.value = deny ? `${name} is turned away.` : `${name} is approved; it joins within seconds.`
    } catch (error) {
      onFailure(error)
    } finally {
      busy.value = false
    }
  }
  const isBlocked = !node.admin.value || busy.value
  return (
    <li>
      <div>
        <bdi class="name">{name}</bdi>
        <code class="muted">{member.id}</code>
        {member.pendingSince === null ? null : (
          <span class="muted">waits for {formatAge(now.value - member.pendingSince)}</span>
        )}
      </div>
      <div class="row">
        <button
          type="button"
          class="primary"
          disabled={isBlocked}
          onClick={() => void decide(false)}
          aria-label={`Approve ${name}`}
        >
          <Icon name="ok" /> Approve
        </button>
        <button
          type="button"
          disabled={isBlocked}
          onClick={() => void decide(true)}
          aria-label={`Turn ${name} away`}
        >
          Turn away
        </button>
      </div>
    </li>
  )
}
