import type { Observations } from './classify.ts'
import { ipKey, sameIp, scopeOf } from './endpoint.ts'

/** Addresses of reflectors that must say the same; fewer only where fewer could be asked at all. */
const AGREEING_MIN = 2

/**
 * The outside address to announce, with the mesh port, of a node that is reached there without having it; null where that is not
 * certain. What one member says must not make this node name somebody else's address: everybody would dial it, at each reconnect.
 * @param own addresses of this machine: a public one of the same family is announced anyway, and nothing translates.
 * @param reflectors how many different addresses could be asked then. With one public member in the mesh, its word has to do.
 */
export function reachedOutside(
  { reached, views }: Pick<Observations, 'reached' | 'views'>,
  own: readonly Uint8Array[],
  reflectors: number,
): Uint8Array | null {
  const [first] = views
  if (reached !== true || first === undefined || scopeOf(first.outside.ip) !== 'public') return null
  const { ip: outside } = first.outside
  if (own.some((ip) => ip.length === outside.length && scopeOf(ip) === 'public')) return null
  if (!views.every(({ outside: each }) => sameIp(each.ip, outside))) return null
  const asked = new Set(views.map(({ reflector }) => ipKey(reflector.ip)))
  return asked.size >= Math.min(AGREEING_MIN, Math.max(1, reflectors)) ? outside : null
}
