import { useSignal } from '@preact/signals'
import type { MemberRow } from '../../../node/api/schemas.ts'
import { useApp } from '../context.ts'
import { calledOf } from '../models/member-list.ts'
import { Dialog } from '../parts/dialog.tsx'
import { Field } from '../parts/field.tsx'
import { Problem } from '../parts/problem.tsx'

/** What the node takes as a reason. */
const REASON_SIZE_BYTES_MAX = 200

/** Asks for the reason, says what follows, does it. */
export function RevokeDialog({ member, onClose }: { member: MemberRow; onClose: () => void }) {
  const { api, notice } = useApp()
  const reason = useSignal('')
  const failure = useSignal<unknown>(null)
  const busy = useSignal(false)
  const name = calledOf(member)
  const sizeBytes = new TextEncoder().encode(reason.value.trim()).length
  const wrong =
    sizeBytes > REASON_SIZE_BYTES_MAX ? `${sizeBytes} of ${REASON_SIZE_BYTES_MAX} bytes.` : undefined
  const revoke = async (event: Event): Promise<void> => {
    event.preventDefault()
    if (busy.value || wrong !== undefined) return
    busy.value = true
    try {
      const { added } = await api.revoke({ peer: member.id, reason: reason.value.trim() })
      notice.value = added ? `${name} is revoked; every member cuts it off.` : `${name} was revoked before.`
      onClose()
    } catch (error) {
      failure.value = error
      busy.value = false
    }
  }
  return (
    <Dialog title={`Revoke ${name}?`} onClose={onClose}>
      <form noValidate onSubmit={(event) => void revoke(event)}>
        <ul class="follows">
          <li>
            Every member cuts its connections to it at once; one that is away does so when it hears of it.
          </li>
          <li>
            It is for good. The machine comes back only under a new identity: another data directory and a new
            invite.
          </li>
          <li>Nobody reaches what it publishes any more.</li>
          {member.authority === null ? null : (
            <li>
              <b>It is an authority:</b> what it signs is believed until the root key cuts it. Where the root
              key is: <code>kith authority retire {name}</code>
            </li>
          )}
        </ul>
        <Field
          label="Reason"
          hint="one line for people; every member is told, the revoked one too"
          error={wrong}
        >
          <input
            type="text"
            autocomplete="off"
            placeholder="lost, sold, replaced …"
            value={reason}
            onInput={(event) => (reason.value = event.currentTarget.value)}
          />
        </Field>
        {failure.value ? <Problem error={failure.value} /> : null}
        <footer>
          <button type="button" onClick={onClose}>
            Keep it
          </button>
          <button type="submit" class="primary danger" disabled={busy.value}>
            Revoke for good
          </button>
        </footer>
      </form>
    </Dialog>
  )
}
