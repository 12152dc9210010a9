import { useComputed, useSignal } from '@preact/signals'
import { useEffect } from 'preact/hooks'
import type { AuthorityRow, MemberRow } from '../../../node/api/schemas.ts'
import { useApp } from '../context.ts'
import { formatDuration, shortId } from '../models/format.ts'
import { calledOf, soleAuthorityText } from '../models/member-list.ts'
import { Badge } from '../parts/badge.tsx'
import { Icon } from '../parts/icon.tsx'
import { Problem } from '../parts/problem.tsx'
import { AuthorityDialog } from './authority-dialog.tsx'

/** The node says it of itself while it has the root key. */
const ROOT_HERE = 'root-not-exported'
/** The ceremony takes a person and a drawer: said early. */
const ENDS_SOON_MS = 60 * 86_400_000

/** The nodes that may admit and revoke, and how the root key changes them. */
export function Authorities({ members }: { members: readonly MemberRow[] }) {
  const { api, node } = useApp()
  const rows = useSignal<AuthorityRow[] | null>(null)
  const failure = useSignal<unknown>(null)
  const asked = useSignal<{ act: 'add' } | { act: 'retire'; row: AuthorityRow } | null>(null)
  const isRootHere = useComputed(
    () => node.status.value?.warnings.some(({ code }) => code === ROOT_HERE) === true,
  )
  const load = (): void =>
    void api.authorities().then(
      (answer) => {
        rows.value = answer
        failure.value = null
      },
      (error: unknown) => (failure.value = error),
    )
  // Who is an authority is part of the members; the list holds those too that are no members any more.
  useEffect(load, [members])
  return (
    <section class="card authorities" aria-labelledby="authorities">
      <h2 id="authorities">Authorities</h2>
      <p class="muted">
        They let machines in and revoke them. The root key of the mesh decides who they are; it{' '}
        {isRootHere.value ? 'lies on this machine.' : 'is not on this machine.'}
      </p>
      {failure.value ? <Problem error={failure.value} retry={load} /> : null}
      {rows.value === null ? null : (
        <Rows rows={rows.value} onRetire={(row) => (asked.value = { act: 'retire', row })} />
      )}
      <footer>
        <button type="button" onClick={() => (asked.value = { act: 'add' })}>
          <Icon name="plus" /> How to add one
        </button>
      </footer>
      {asked.value === null ? null : (
        <AuthorityDialog
          asked={asked.value}
          members={members}
          isRootHere={isRootHere.value}
          onClose={() => (asked.value = null)}
        />
      )}
    </section>
  )
}

function Rows({ rows, onRetire }: { rows: readonly AuthorityRow[]; onRetire: (row: AuthorityRow) => void }) {
  const alone = soleAuthorityText(rows)
  return (
    <>
      {alone === null ? null : (
        <p class="alone-text">
          <Badge tone="warning">only one</Badge> <span>{alone}</span>
        </p>
      )}
      {rows.length === 0 ? <p>This node knows of no authority: nobody can let machines in.</p> : null}
      <ul>
        {rows.map((row) => (
          <li key={row.id}>
            <div>
              <bdi class="name">
                {row.name ?? 'no member any more'}
                {row.self ? <span class="muted"> (this node)</span> : null}
              </bdi>
              <code class="muted" title={row.id}>
                {shortId(row.id)}
              </code>
            </div>
            <span class="chips">
              {row.roles.map((role) => (
                <code key={role}>{role}</code>
              ))}
            </span>
            <End expires={row.expires} />
            <button
              type="button"
              class="quiet"
              onClick={() => onRetire(row)}
              aria-label={`How to retire ${calledOf(row)}`}
            >
              How to retire it
            </button>
          </li>
        ))}
      </ul>
    </>
  )
}

function End({ expires }: { expires: number }) {
  const { now } = useApp()
  const leftMs = expires - now.value
  const text = leftMs > 0 ? `ends in ${formatDuration(leftMs)}` : 'has ended'
  return (
    <span title={new Date(expires).toLocaleString()}>
      {leftMs > ENDS_SOON_MS ? (
        <span class="muted">{text}</span>
      ) : (
        <Badge tone={leftMs > 0 ? 'warning' : 'bad'}>{text}</Badge>
      )}
    </span>
  )
}
