import { useSignal } from '@preact/signals'
import type { MemberRow } from '../../../node/api/schemas.ts'
import { useApp } from '../context.ts'
import { formatAge, formatDuration, shortId } from '../models/format.ts'
import { calledOf, filterMembers, isRevocable, mayAct, whyNot } from '../models/member-list.ts'
import { waitingMembers } from '../models/waiting-members.ts'
import { Badge, type Tone } from '../parts/badge.tsx'
import { ColumnHeads } from '../parts/column-heads.tsx'
import { Filter } from '../parts/filter.tsx'
import { Icon } from '../parts/icon.tsx'
import { Empty, Loading } from '../parts/states.tsx'
import { Authorities } from './authorities.tsx'
import { InviteButton } from './invite-button.tsx'
import { RevokeDialog } from './revoke-dialog.tsx'
import { WaitingList } from './waiting-list.tsx'
import '../styles/table.css'
import '../styles/members.css'

const TONES: Readonly<Record<MemberRow['state'], Tone>> = {
  alive: 'ok',
  suspect: 'warning',
  dead: 'bad',
  left: 'dash',
  pending: 'info',
  revoked: 'bad',
}
const COLUMNS = ['Name', 'State', 'Roles and tags', 'Authority', 'Certificate', 'Note'] as const
/** Certificates are renewed at half of their life; one this near its end could not be. */
const ENDS_SOON_MS = 10 * 86_400_000

/** Everybody who belongs to the mesh, who waits to, who does no more, and who decides that. */
export function Members() {
  const { node } = useApp()
  const filter = useSignal('')
  const revoking = useSignal<MemberRow | null>(null)
  const members = node.members.value
  if (members === null) return <Loading label="Waiting for the members" />
  const waiting = waitingMembers(members)
  const shown = filterMembers(members, filter.value)
  return (
    <>
      <header class="page">
        <div>
          <h1>Members</h1>
          <p class="muted">{summaryOf(members)}</p>
        </div>
        <div class="row">
          <Filter value={filter} label="Filter members" hint="name, revoked, tag:web …" />
          <InviteButton />
        </div>
      </header>
      <Limits members={members} />
      {waiting.length === 0 ? null : <WaitingList waiting={waiting} />}
      {shown.length === 0 ? (
        <Empty title={members.length === 0 ? 'Nobody yet' : 'No member matches'}>
          {filter.value === '' ? null : (
            <p>
              <button type="button" onClick={() => (filter.value = '')}>
                Clear the filter
              </button>
            </p>
          )}
        </Empty>
      ) : (
        <MemberTable shown={shown} members={members} onRevoke={(member) => (revoking.value = member)} />
      )}
      <Authorities members={members} />
      {revoking.value === null ? null : (
        <RevokeDialog member={revoking.value} onClose={() => (revoking.value = null)} />
      )}
    </>
  )
}

function summaryOf(members: readonly MemberRow[]): string {
  const count = (...states: MemberRow['state'][]): number =>
    members.filter(({ state }) => states.includes(state)).length
  const here = count('alive', 'suspect', 'dead', 'left')
  const revoked = count('revoked')
  const waiting = count('pending')
  return [
    here === 1 ? 'this node alone' : `${here} members, this node among them`,
    ...(waiting === 0 ? [] : [`${waiting} waiting`]),
    ...(revoked === 0 ? [] : [`${revoked} revoked`]),
  ].join(' · ')
}

/** What this node may not do, and who may. */
function Limits({ members }: { members: readonly MemberRow[] }) {
  const limits = [whyNot(members, 'admit'), whyNot(members, 'revoke')].filter((text) => text !== null)
  if (limits.length === 0) return null
  return (
    <div class="banner calm limits">
      <Icon name="info" />
      <div>
        {limits.map((text) => (
          <p key={text}>{text}</p>
        ))}
      </div>
    </div>
  )
}

function MemberTable(props: {
  shown: readonly MemberRow[]
  members: readonly MemberRow[]
  onRevoke: (member: MemberRow) => void
}) {
  const { shown, members, onRevoke } = props
  const mayRevoke = mayAct(members, 'revoke')
  return (
    // Roles are written out: on narrow screens the rows become cards, and display: block would drop them.
    <table class="stacking members" role="table">
      <caption class="hidden">Members</caption>
      <ColumnHeads columns={COLUMNS} last={mayRevoke ? 'Actions' : null} />
      <tbody role="rowgroup">
        {shown.map((member) => (
          <Row
            key={member.id}
            member={member}
            members={members}
            onRevoke={mayRevoke ? () => onRevoke(member) : null}
          />
        ))}
      </tbody>
    </table>
  )
}

function Row(props: { member: MemberRow; members: readonly MemberRow[]; onRevoke: (() => void) | null }) {
  const { member, members, onRevoke } = props
  const { node } = useApp()
  const marks = [...member.roles, ...member.tags.map((tag) => `tag:${tag}`)]
  return (
    <tr role="row">
      <th role="rowheader" scope="row">
        <bdi class="name">
          {member.name ?? 'never seen here'}
          {member.self ? <span class="muted"> (this node)</span> : null}
        </bdi>
        <code class="muted" title={member.id}>
          {shortId(member.id)}
        </code>
      </th>
      <td role="cell" data-label="State">
        <Badge tone={TONES[member.state]}>{member.state}</Badge>
      </td>
      <td role="cell" data-label="Roles and tags">
        <span class="chips">
          {marks.length === 0 ? '–' : marks.map((mark) => <code key={mark}>{mark}</code>)}
        </span>
      </td>
      <td role="cell" data-label="Authority">
        <span class="chips">
          {member.authority === null
            ? '–'
            : member.authority.roles.map((role) => <code key={role}>{role}</code>)}
        </span>
      </td>
      <td role="cell" data-label="Certificate">
        <End certificate={member.certificate} />
      </td>
      <td role="cell" data-label="Note">
        <Note member={member} members={members} />
      </td>
      {onRevoke === null ? null : (
        <td role="cell" class="action">
          {isRevocable(member) ? (
            <button
              type="button"
              class="quiet danger"
              disabled={!node.admin.value}
              onClick={onRevoke}
              aria-label={`Revoke ${calledOf(member)}`}
            >
              Revoke
            </button>
          ) : null}
        </td>
      )}
    </tr>
  )
}

/** When the certificate ends; one that should have been renewed by now stands out. */
function End({ certificate }: Pick<MemberRow, 'certificate'>) {
  const { now } = useApp()
  if (certificate === null) return <>–</>
  const { expires } = certificate
  const leftMs = expires - now.value
  const text = leftMs > 0 ? `ends in ${formatDuration(leftMs)}` : `ended ${formatAge(-leftMs)} ago`
  return (
    <span class="whole" title={new Date(expires).toLocaleString()}>
      {leftMs > ENDS_SOON_MS ? text : <Badge tone={leftMs > 0 ? 'warning' : 'bad'}>{text}</Badge>}
    </span>
  )
}

function Note({ member, members }: { member: MemberRow; members: readonly MemberRow[] }) {
  const { revoked } = member
  if (revoked === null) return <>–</>
  const by = members.find(({ id }) => id === revoked.by)?.name
  return (
    <span class="note">
      <span>
        revoked{' '}
        <time dateTime={new Date(revoked.at).toISOString()}>
          {new Date(revoked.at).toLocaleString(undefined, { dateStyle: 'medium', timeStyle: 'short' })}
        </time>{' '}
        by <bdi title={revoked.by}>{by ?? shortId(revoked.by)}</bdi>
      </span>
      <span class="second">{revoked.reason === '' ? 'no reason given' : <bdi>“{revoked.reason}”</bdi>}</span>
    </span>
  )
}
