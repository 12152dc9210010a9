import { useSignal } from '@preact/signals'
import type { Signal } from '@preact/signals'
import { useEffect } from 'preact/hooks'
import type { Peer, Why } from '../../../node/api/schemas.ts'
import { useApp } from '../context.ts'
import { Badge } from '../parts/badge.tsx'
import { Dialog } from '../parts/dialog.tsx'
import { Problem } from '../parts/problem.tsx'
import { Prose } from '../parts/prose.tsx'
import { Loading } from '../parts/states.tsx'
import { WhyWays } from './why-ways.tsx'

const PATHS = {
  direct: 'The path is direct.',
  relay: 'The path goes through a relay.',
  local: 'It is on this machine.',
  none: 'There is no path.',
} as const
const TONES = { reachable: 'ok', unreachable: 'bad', denied: 'warning' } as const

/** Why a peer or a service is reached as it is, or is not: `kith why` in a window. `name` is how people call it. */
export function WhyDialog(props: { subject: string; name: string; onClose: () => void }) {
  const { subject, name, onClose } = props
  const { api } = useApp()
  const why = useSignal<Why | null>(null)
  const failure = useSignal<unknown>(null)
  useEffect(() => {
    api.why(subject).then(
      (answer) => (why.value = answer),
      (error: unknown) => (failure.value = error),
    )
  }, [subject])
  return (
    <Dialog title={`Why ${name}?`} onClose={onClose}>
      {failure.value ? <Problem error={failure.value} /> : null}
      {why.value ? <Verdict why={why.value} /> : failure.value ? null : <Loading label="Asking the node" />}
    </Dialog>
  )
}

/** The window about the peer that was chosen, while one is; closing it chooses none. */
export function WhyPeer({ chosen }: { chosen: Signal<Peer | null> }) {
  const peer = chosen.value
  if (peer === null) return null
  return <WhyDialog subject={peer.id} name={peer.name} onClose={() => (chosen.value = null)} />
}

function Verdict({ why }: { why: Why }) {
  return (
    <>
      <p>
        <Badge tone={TONES[why.verdict]}>{why.verdict}</Badge> {PATHS[why.path]}
      </p>
      {why.reasons.length === 0 ? <p class="muted">There is nothing to explain.</p> : null}
      <ol class="reasons">
        {why.reasons.map((reason) => (
          <li key={reason.code}>
            <p>{reason.text}</p>
            {reason.fix ? (
              <p class="muted">
                <Prose text={reason.fix} />
              </p>
            ) : null}
            {reason.code === 'ok' ? null : <code>{reason.code}</code>}
          </li>
        ))}
      </ol>
      {why.ways === null ? null : <WhyWays ways={why.ways} told={why.reasons.map(({ code }) => code)} />}
    </>
  )
}
