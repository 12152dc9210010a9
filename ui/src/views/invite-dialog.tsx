import { useSignal } from '@preact/signals'
import type { Invite, Role } from '../../../node/api/schemas.ts'
import { useApp } from '../context.ts'
import { Badge } from '../parts/badge.tsx'
import { CopyButton } from '../parts/copy-button.tsx'
import { Dialog } from '../parts/dialog.tsx'
import { Field } from '../parts/field.tsx'
import { Problem } from '../parts/problem.tsx'
import { Prose } from '../parts/prose.tsx'
import { Qr } from '../parts/qr.tsx'

const HOUR_MS = 3_600_000
const TTLS = [
  { text: 'an hour', ms: HOUR_MS },
  { text: 'a day', ms: 24 * HOUR_MS },
  { text: 'a week', ms: 7 * 24 * HOUR_MS },
]
const ROLES: readonly { role: Role; text: string }[] = [
  { role: 'relay', text: 'relay: carries traffic of others' },
  { role: 'dns', text: 'dns: answers for the mesh domain' },
  { role: 'acme', text: 'acme: issues certificates' },
  { role: 'admin', text: 'admin: admits and removes members' },
]

/** Makes an invite and shows it, once. */
export function InviteDialog({ onClose }: { onClose: () => void }) {
  const invite = useSignal<Invite | null>(null)
  return (
    <Dialog title="Invite a machine" onClose={onClose}>
      {invite.value ? (
        <Ready invite={invite.value} onClose={onClose} />
      ) : (
        <Form onInvite={(made) => (invite.value = made)} />
      )}
    </Dialog>
  )
}

function Form({ onInvite }: { onInvite: (invite: Invite) => void }) {
  const { api } = useApp()
  const name = useSignal('')
  const uses = useSignal(1)
  const ttlMs = useSignal(24 * HOUR_MS)
  const roles = useSignal<Role[]>([])
  const busy = useSignal(false)
  const failure = useSignal<unknown>(null)
  const wrongName = name.value !== '' && !/^[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?$/.test(name.value)
  const wrongUses = !(uses.value >= 1 && uses.value <= 1000)
  const submit = async (event: Event): Promise<void> => {
    event.preventDefault()
    if (wrongName || wrongUses || busy.value) return
    busy.value = true
    try {
      const named = name.value === '' ? {} : { name: name.value }
      onInvite(await api.invite({ ...named, uses: uses.value, ttlMs: ttlMs.value, roles: roles.value }))
    } catch (error) {
      failure.value = error
    } finally {
      busy.value = false
    }
  }
  const toggle = (role: Role, on: boolean): void =>
    void (roles.value = on ? [...roles.value, role] : roles.value.filter((one) => one !== role))
  return (
    <form noValidate onSubmit={(event) => void submit(event)}>
      <Field
        label="Name of the machine"
        hint="left empty, it brings its own"
        error={wrongName ? 'Lower-case letters, digits and hyphens.' : undefined}
      >
        <input
          type="text"
          autocomplete="off"
          spellcheck={false}
          value={name}
          onInput={(event) => (name.value = event.currentTarget.value.trim().toLowerCase())}
        />
      </Field>
      <div class="pair">
        <Field label="Machines" error={wrongUses ? 'From 1 to 1000.' : undefined}>
          <input
            type="number"
            min={1}
            max={1000}
            value={uses}
            onInput={(event) => (uses.value = event.currentTarget.valueAsNumber)}
          />
        </Field>
        <Field label="Valid for">
          <select value={ttlMs} onChange={(event) => (ttlMs.value = Number(event.currentTarget.value))}>
            {TTLS.map(({ text, ms }) => (
              <option key={ms} value={ms}>
                {text}
              </option>
            ))}
          </select>
        </Field>
      </div>
      <fieldset>
        <legend>It may also be</legend>
        {ROLES.map(({ role, text }) => (
          <label key={role} class="choice">
            <input
              type="checkbox"
              checked={roles.value.includes(role)}
              onChange={(event) => toggle(role, event.currentTarget.checked)}
            />
            {text}
          </label>
        ))}
      </fieldset>
      {failure.value ? <Problem error={failure.value} /> : null}
      <footer>
        <button type="submit" class="primary" disabled={busy.value}>
          Make the invite
        </button>
      </footer>
    </form>
  )
}

const REACH = {
  internet: { tone: 'ok', text: 'works from anywhere', help: '' },
  lan: {
    tone: 'warning',
    text: 'works on this network only',
    help: 'No member is reachable from the internet. Use it on a machine in the same network, or open TCP 4701 on the router, or run `kith up --door` on a machine with a public address, then invite again.',
  },
  unknown: {
    tone: 'info',
    text: 'reach not known yet',
    help: 'Whether others can reach this node from outside has not been checked. It works on this network; elsewhere it may.',
  },
} as const

function Ready({ invite, onClose }: { invite: Invite; onClose: () => void }) {
  const reach = REACH[invite.reach]
  return (
    <>
      <p>
        <Badge tone={reach.tone}>{reach.text}</Badge>
      </p>
      {reach.help === '' ? null : (
        <p class="muted">
          <Prose text={reach.help} />
        </p>
      )}
      <Qr text={invite.invite} label="The invite as a QR code" />
      <Field label="Invite link" hint="shown only now; who has it can join">
        <textarea rows={3} readOnly value={invite.invite} onFocus={(event) => event.currentTarget.select()} />
      </Field>
      <p class="muted">
        Good for {invite.uses === 1 ? 'one machine' : `${invite.uses} machines`} until{' '}
        {new Date(invite.expires).toLocaleString(undefined, { dateStyle: 'medium', timeStyle: 'short' })}.
        There, run <code>kith up --join LINK</code> or paste it into the dashboard.
      </p>
      <footer>
        <CopyButton text={invite.invite} what="the invite" wordy />
        <button type="button" class="primary" onClick={onClose}>
          Done
        </button>
      </footer>
    </>
  )
}
