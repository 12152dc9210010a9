import { useSignal } from '@preact/signals'
import type { Signal } from '@preact/signals'
import type { Status } from '../../../node/api/schemas.ts'
import { useApp } from '../context.ts'
import { Badge, severityTone } from '../parts/badge.tsx'
import { Field } from '../parts/field.tsx'
import { Problem } from '../parts/problem.tsx'
import { Prose } from '../parts/prose.tsx'
import { Loading } from '../parts/states.tsx'
import '../styles/setup.css'

/** The first screen of a node without a mesh: found one, or join one. */
export function Setup() {
  const { node } = useApp()
  // Kept here: while the node joins the form is away, and what became of it is shown when it is back.
  const invite = useSignal('')
  const failure = useSignal<unknown>(null)
  const status = node.status.value
  if (status?.state === 'joining') {
    return (
      <section class="welcome">
        <h1>Joining…</h1>
        <p class="muted">The invite is being redeemed at the node that made it.</p>
        <Warnings status={status} />
        <Loading label="Joining" />
      </section>
    )
  }
  const isRevoked = status?.warnings.some(({ code }) => code === 'certificate-revoked')
  return (
    <section class="welcome">
      <h1>{isRevoked ? 'This machine was revoked' : 'Welcome to Kith'}</h1>
      {status === null ? null : <Warnings status={status} />}
      {isRevoked ? null : <Lead status={status} />}
      <div class="columns">
        <Found />
        <Join invite={invite} failure={failure} />
      </div>
    </section>
  )
}

function Lead({ status }: { status: Status | null }) {
  return (
    <p class="lead">
      {status ? <b>{status.node.name}</b> : 'This machine'} is running and belongs to no mesh yet. A mesh is a
      small private internet of your machines: names, services and keys of its own, and no server of anybody
      else.
    </p>
  )
}

/** Warnings whose own text is for those who look into certificates; it stands below. */
const PLAIN: Readonly<Record<string, string>> = {
  'certificate-revoked': 'The mesh it belonged to has revoked it: no member speaks to it any more.',
}

/** What stands between this machine and a mesh: it waits for a person, was revoked, was away too long. */
function Warnings({ status }: { status: Status }) {
  if (status.warnings.length === 0) return null
  return (
    <ul class="card hurdles">
      {status.warnings.map((warning) => (
        <li key={warning.code}>
          <Badge tone={severityTone(warning.severity)}>{warning.severity}</Badge>
          <div>
            <p>{PLAIN[warning.code] ?? warning.text}</p>
            <p class="muted">
              <Prose text={warning.fix} />
            </p>
            <code>{warning.code}</code>
            {PLAIN[warning.code] === undefined ? null : <p class="muted">{warning.text}</p>}
          </div>
        </li>
      ))}
    </ul>
  )
}

function Found() {
  const { api, node, notice } = useApp()
  const name = useSignal('home')
  const busy = useSignal(false)
  const failure = useSignal<unknown>(null)
  const valid = /^[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?$/.test(name.value)
  const found = async (event: Event): Promise<void> => {
    event.preventDefault()
    if (!valid || busy.value) return
    busy.value = true
    try {
      node.status.value = await api.found(name.value)
      notice.value = `The mesh ${name.value} is yours.`
    } catch (error) {
      failure.value = error
    } finally {
      busy.value = false
    }
  }
  return (
    <form class="card" noValidate onSubmit={(event) => void found(event)}>
      <h2>Start a mesh</h2>
      <p>This machine becomes its first member and can invite the others.</p>
      <Field
        label="Name of the mesh"
        hint={
          <>
            its names will look like <b>{`wiki.${valid ? name.value : 'home'}.internal`}</b>
          </>
        }
        error={valid ? undefined : 'Lower-case letters, digits and hyphens, such as “home”.'}
      >
        <input
          type="text"
          autocomplete="off"
          spellcheck={false}
          value={name}
          onInput={(event) => (name.value = event.currentTarget.value.trim().toLowerCase())}
        />
      </Field>
      {failure.value ? <Problem error={failure.value} /> : null}
      <footer>
        <button type="submit" class="primary" disabled={!node.admin.value || busy.value}>
          Start the mesh
        </button>
      </footer>
    </form>
  )
}

function Join({ invite, failure }: { invite: Signal<string>; failure: Signal<unknown> }) {
  const { api, node, notice } = useApp()
  const busy = useSignal(false)
  const wrong = invite.value !== '' && !invite.value.startsWith('kith://join/')
  const join = async (event: Event): Promise<void> => {
    event.preventDefault()
    if (wrong || invite.value === '' || busy.value) return
    busy.value = true
    failure.value = null
    try {
      node.status.value = await api.join(invite.value)
      notice.value = 'Joined.'
    } catch (error) {
      failure.value = error
    } finally {
      busy.value = false
    }
  }
  return (
    <form class="card" noValidate onSubmit={(event) => void join(event)}>
      <h2>Join a mesh</h2>
      <p>
        Somebody made an invite for you, on their dashboard or by <code>kith invite</code>.
      </p>
      <Field
        label="Invite"
        hint="it contains all that is needed to find the mesh; anyone who has it can use it"
        error={wrong ? 'An invite starts with kith://join/' : undefined}
      >
        <textarea
          rows={4}
          autocomplete="off"
          spellcheck={false}
          placeholder="kith://join/…"
          value={invite}
          onInput={(event) => (invite.value = event.currentTarget.value.replaceAll(/\s+/g, ''))}
        />
      </Field>
      {failure.value ? <Problem error={failure.value} /> : null}
      <footer>
        <button
          type="submit"
          class="primary"
          disabled={!node.admin.value || busy.value || invite.value === '' || wrong}
        >
          Join
        </button>
      </footer>
    </form>
  )
}
