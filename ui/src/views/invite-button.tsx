import { useSignal } from '@preact/signals'
import { ErrorBoundary, lazy } from 'preact-iso'
import { useApp } from '../context.ts'
import { mayAct } from '../models/member-list.ts'
import { Icon } from '../parts/icon.tsx'

const InviteDialog = lazy(() => import('./invite-dialog.tsx').then((module) => module.InviteDialog))

/** Opens the invite dialog; not there on a node that may not let anybody in. */
export function InviteButton() {
  const { node } = useApp()
  const inviting = useSignal(false)
  if (!mayAct(node.members.value, 'admit')) return null
  return (
    <>
      <button
        type="button"
        class="primary"
        disabled={!node.admin.value}
        onClick={() => (inviting.value = true)}
      >
        <Icon name="plus" /> Invite a machine
      </button>
      {inviting.value ? (
        <ErrorBoundary>
          <InviteDialog onClose={() => (inviting.value = false)} />
        </ErrorBoundary>
      ) : null}
    </>
  )
}
