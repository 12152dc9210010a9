import { useSignal } from '@preact/signals'
import { useMemo } from 'preact/hooks'
import type { Invite, Role } from '../../../node/api/schemas.ts'
import { useApp } from '../context.ts'
import { createInviteForm } from '../models/invite-form.ts'
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
  { text: '30 days', ms: 30 * 24 * HOUR_MS },
]
const KINDS = [
  { kind: 'link', text: 'Whoever has the link' },
  { kind: 'approve', text: 'Whoever has the link, once I approve it by hand' },
  { kind: 'peer', text: 'Only one machine, known by its peer id' },
] as const
const ROLES: readonly { role: Role; text: string }[] = [
  { role: 'relay', text: 'relay: carries traffic of others' },
  { role: 'dns', text: 'dns: answers for the mesh domain' },
  { role: 'acme', text: 'acme: issues certificates' },
  { role: 'admin', text: 'admin: a machine of whoever runs the mesh' },
  { role: 'policy', text: 'policy: keeps the rules of who may do what' },
]

/** Makes an invite and shows it, once. */
export function InviteDialog({ onClose }: { onClose: () => void }) {
  const made = useSignal<{ invite: Invite; isByHand: boolean } | null>(null)
  return (
    <Dialog title="Invite a machine" onClose={onClose}>
      {made.value ? (
        <Ready {...made.value} onClose={onClose} />
      ) : (
        <Form onInvite={(invite, isByHand) => (made.value = { invite, isByHand })} />
      )}
    </Dialog>
  )
}

function Form({ onInvite }: { onInvite: (invite: Invite, isByHand: boolean) => void }) {
  const { api } = useApp()
  const form = useMemo(createInviteForm, [])
  const tried = useSignal(false)
  const busy = useSignal(false)
  const failure = useSignal<unknown>(null)
  const problems = tried.value ? form.problems.value : {}
  const isForPeer = form.kind.value === 'peer'
  const submit = async (event: Event): Promise<void> => {
    event.preventDefault()
    tried.value = true
    if (!form.valid.value || busy.value) return
    busy.value = true
    try {
      onInvite(await api.invite(form.input.value), form.kind.value === 'approve')
    } catch (error) {
      failure.value = error
    } finally {
      busy.value = false
    }
  }
  return (
    <form noValidate onSubmit={(event) => void submit(event)}>
      <fieldset>
        <legend>Who gets in with it</legend>
        {KINDS.map(({ kind, text }) => (
          <label key={kind} class="choice">
            <input
              type="radio"
              name="kind"
              checked={form.kind.value === kind}
              onChange={() => (form.kind.value = kind)}
            />
            {text}
          </label>
        ))}
      </fieldset>
      {isForPeer ? (
        <Field
          label="Peer id"
          hint="it then joins with nobody asked, even while this node is off"
          error={problems.peer}
        >
          <input
            type="text"
            autocomplete="off"
            spellcheck={false}
            placeholder="12D3KooW…"
            value={form.peer}
            onInput={(event) => (form.peer.value = event.currentTarget.value.trim())}
          />
        </Field>
      ) : null}
      <Field
        label="Name of the machine"
        hint={isForPeer ? undefined : 'left empty, it brings its own'}
        error={problems.name}
      >
        <input
          type="text"
          autocomplete="off"
          spellcheck={false}
          value={form.name}
          onInput={(event) => (form.name.value = event.currentTarget.value.trim().toLowerCase())}
        />
      </Field>
      {isForPeer ? null : <UsesAndTtl form={form} wrong={problems.uses} />}
      <Grants form={form} wrongTags={problems.tags} />
      {failure.value ? <Problem error={failure.value} /> : null}
      <footer>
        <button type="submit" class="primary" disabled={busy.value}>
          Make the invite
        </button>
      </footer>
    </form>
  )
}

type InviteForm = ReturnType<typeof createInviteForm>

function UsesAndTtl({ form, wrong }: { form: InviteForm; wrong: string | undefined }) {
  return (
    <div class="pair">
      <Field label="Machines" error={wrong}>
        <input
          type="number"
          min={1}
          max={1000}
          value={form.uses}
          onInput={(event) => (form.uses.value = event.currentTarget.valueAsNumber)}
        />
      </Field>
      <Field label="Valid for">
        <select
          value={form.ttlMs}
          onChange={(event) => (form.ttlMs.value = Number(event.currentTarget.value))}
        >
          {TTLS.map(({ text, ms }) => (
            <option key={ms} value={ms}>
              {text}
            </option>
          ))}
        </select>
      </Field>
    </div>
  )
}

function Grants({ form, wrongTags }: { form: InviteForm; wrongTags: string | undefined }) {
  return (
    <details open={form.roles.value.length > 0 || wrongTags !== undefined}>
      <summary>Roles and tags</summary>
      <fieldset>
        <legend class="hidden">Roles</legend>
        {ROLES.map(({ role, text }) => (
          <label key={role} class="choice">
            <input
              type="checkbox"
              checked={form.roles.value.includes(role)}
              onChange={(event) => form.toggle(role, event.currentTarget.checked)}
            />
            {text}
          </label>
        ))}
      </fieldset>
      <Field label="Tags" hint="family, web" error={wrongTags}>
        <input
          type="text"
          autocomplete="off"
          spellcheck={false}
          value={form.tags}
          onInput={(event) => (form.tags.value = event.currentTarget.value)}
        />
      </Field>
    </details>
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

function Ready({ invite, isByHand, onClose }: { invite: Invite; isByHand: boolean; onClose: () => void }) {
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
      {isByHand ? <p class="muted">It then waits until you approve it here, under Members.</p> : null}
      <footer>
        <CopyButton text={invite.invite} what="the invite" wordy />
        <button type="button" class="primary" onClick={onClose}>
          Done
        </button>
      </footer>
    </>
  )
}
