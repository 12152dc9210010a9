import type { ListedMuxer } from '../../protocols/mux/registry.ts'
import type { PathState } from '../../protocols/traversal/path.ts'

/** A connection stays for so long after another took over: what was sent on it before arrives. */
const REPLACED_KEPT_MS = 5000

/**
 * Whether a connection can be closed: a direct one is in use instead, and nobody speaks over this one any more. Of two direct
 * ones the leading side's choice stays. `state`: of the path to its peer; `now`: ms of the steady clock; `isMovable`: whether
 * streams of a protocol move to another connection by themselves.
 */
export function isReplaced(
  { id, via, muxer, isSilent }: ListedMuxer,
  { direct, probing, leads }: PathState,
  now: number,
  isMovable: (protocol: string) => boolean,
): boolean {
  if (direct === null || isSilent) return false
  if (now - direct.since < REPLACED_KEPT_MS || (via === null && !leads)) return false
  if (id === direct.connection || id === probing?.connection) return false
  return muxer.bareChannels === 0 && muxer.streams.every(({ protocol }) => isMovable(protocol))
}
