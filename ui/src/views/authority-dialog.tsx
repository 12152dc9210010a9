import { useSignal } from '@preact/signals'
import { Fragment } from 'preact'
import type { AuthorityRow, MemberRow } from '../../../node/api/schemas.ts'
import { ceremonyOf, DEFAULT_ROLES, type RootWish } from '../models/ceremony.ts'
import { calledOf } from '../models/member-list.ts'
import { CopyButton } from '../parts/copy-button.tsx'
import { Dialog } from '../parts/dialog.tsx'
import { Field } from '../parts/field.tsx'
import '../styles/facts.css'

type AuthorityRole = AuthorityRow['roles'][number]
const ROLES: readonly { role: AuthorityRole; text: string }[] = [
  { role: 'admit', text: 'admit: lets machines in and renews their certificates' },
  { role: 'revoke', text: 'revoke: cuts members off' },
  { role: 'dns', text: 'dns: grants names' },
  { role: 'acme', text: 'acme: signs certificates for services' },
  { role: 'policy', text: 'policy: signs who may do what' },
]

/**
 * What to type to add or to retire an authority. The commands are for a person with a shell: a dashboard session that was
 * stolen must not reach the root key, and the node answers these acts on its unix socket only.
 */
export function AuthorityDialog(props: {
  asked: { act: 'add' } | { act: 'retire'; row: AuthorityRow }
  members: readonly MemberRow[]
  isRootHere: boolean
  onClose: () => void
}) {
  const { asked, members, isRootHere, onClose } = props
  const title = asked.act === 'add' ? 'Add an authority' : `Retire ${calledOf(asked.row)} as an authority`
  return (
    <Dialog title={title} onClose={onClose}>
      {asked.act === 'add' ? (
        <Add members={members} isRootHere={isRootHere} />
      ) : (
        <Retire row={asked.row} isRootHere={isRootHere} />
      )}
      <footer>
        <button type="button" class="primary" onClick={onClose}>
          Done
        </button>
      </footer>
    </Dialog>
  )
}

function Add({ members, isRootHere }: { members: readonly MemberRow[]; isRootHere: boolean }) {
  const candidates = members
    .filter(({ state }) => state !== 'revoked' && state !== 'pending' && state !== 'left')
    .sort((a, b) => Number(a.authority !== null) - Number(b.authority !== null))
  const peer = useSignal(candidates[0] === undefined ? 'NAME' : calledOf(candidates[0]))
  const roles = useSignal<AuthorityRole[]>([...DEFAULT_ROLES])
  const toggle = (role: AuthorityRole, isOn: boolean): void =>
    void (roles.value = isOn ? [...roles.value, role] : roles.value.filter((one) => one !== role))
  return (
    <>
      <Field label="Member" hint="one that is an authority already is renewed">
        <select value={peer} onChange={(event) => (peer.value = event.currentTarget.value)}>
          {candidates.map((member) => (
            <option key={member.id} value={calledOf(member)}>
              {calledOf(member)}
              {member.authority === null ? '' : ' (is one already)'}
            </option>
          ))}
        </select>
      </Field>
      <fieldset>
        <legend>What it may do</legend>
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
      {roles.value.length === 0 ? (
        <p class="wrong">Choose at least one.</p>
      ) : (
        <Steps wish={{ act: 'add', peer: peer.value, roles: roles.value }} isRootHere={isRootHere} />
      )}
    </>
  )
}

function Retire({ row, isRootHere }: { row: AuthorityRow; isRootHere: boolean }) {
  const reason = useSignal('')
  const stolen = useSignal(false)
  return (
    <>
      <ul class="follows">
        <li>What it signs from then on is not believed; every member is told.</li>
        <li>
          {stolen.value
            ? 'Nothing it ever signed is believed: all members it let in must join anew.'
            : 'Members it let in before stay.'}
        </li>
        <li>It stays a member itself. It cannot become an authority again under this identity.</li>
      </ul>
      <label class="choice">
        <input
          type="checkbox"
          checked={stolen.value}
          onChange={(event) => (stolen.value = event.currentTarget.checked)}
        />
        Its key may be in other hands
      </label>
      <Field label="Reason" hint="one line for people">
        <input
          type="text"
          autocomplete="off"
          value={reason}
          onInput={(event) => (reason.value = event.currentTarget.value)}
        />
      </Field>
      <Steps
        wish={{ act: 'retire', peer: calledOf(row), reason: reason.value, stolen: stolen.value }}
        isRootHere={isRootHere}
      />
    </>
  )
}

function Steps({ wish, isRootHere }: { wish: RootWish; isRootHere: boolean }) {
  return (
    <>
      <h3>Type this</h3>
      <p class="hint">
        {isRootHere
          ? 'The root key lies on this machine. The dashboard does not reach it, so that a stolen browser session cannot.'
          : 'The root key is not on this machine, so a request goes to it and an answer comes back.'}
      </p>
      <ol class="ceremony">
        {ceremonyOf(wish, isRootHere).map(({ where, command }) => (
          <li key={command}>
            <span class="muted">{where}</span>
            <span class="with-copy">
              <Command text={command} />
              <CopyButton text={command} what="the command" />
            </span>
          </li>
        ))}
      </ol>
    </>
  )
}

/** A line to type, broken between words only: an option that is torn apart reads like two. */
function Command({ text }: { text: string }) {
  return (
    <code>
      {text.split(' ').map((word, i) => (
        <Fragment key={i}>
          {i === 0 ? '' : ' '}
          <span class="word">{word}</span>
        </Fragment>
      ))}
    </code>
  )
}
