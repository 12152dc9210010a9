import type { PathReason } from '../../../node/api/path-schemas.ts'
import { Prose } from '../parts/prose.tsx'
import '../styles/reason.css'

/** How the tables of reasons say it. */
const NOTHING = 'None needed.'

/** A reason with what to do about it, where there is anything to do. */
export function Reason({ reason }: { reason: PathReason }) {
  const { code, text, fix } = reason
  return (
    <>
      <span class="reason">
        {text} <code class="muted">{code}</code>
      </span>
      {fix === '' || fix === NOTHING ? null : (
        <span class="reason muted">
          <Prose text={fix} />
        </span>
      )}
    </>
  )
}
