import type { ListedMuxer } from '../../protocols/mux/registry.ts'
import type { TraversalCode } from '../../protocols/traversal/errors.ts'
import type { PathState } from '../../protocols/traversal/path.ts'

/** The way new streams to a peer take, for people. */
export interface PathView {
  readonly path: 'direct' | 'relay' | 'none'
  readonly via: string | null
  readonly reason: TraversalCode
  /** Ms of the steady clock. */
  readonly since: number
  /** A direct way is being looked for. */
  readonly isTrying: boolean
  /** Why there is no direct way, as far as it was tried. */
  readonly lastFailure: TraversalCode | null
}

/** How a path looks: `used` is the connection new streams take, `now` ms of the steady clock. */
export function viewOf(
  state: PathState | undefined,
  used: Pick<ListedMuxer, 'via'> | undefined,
  now: number,
): PathView {
  const path = used === undefined ? 'none' : used.via === null ? 'direct' : 'relay'
  return {
    path,
    via: used?.via ?? null,
    reason: state?.reason ?? 'path-none',
    since: state?.since ?? now,
    isTrying: (state?.tryUntil ?? null) !== null,
    lastFailure: state?.lastFailure ?? null,
  }
}
