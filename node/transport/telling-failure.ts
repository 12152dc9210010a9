/** A dial by all ways ends so long after the first of them failed at most. */
const SAME_DIAL_MS = 15_000

/**
 * Which of two failures to tell: what a handshake or a relay said says more than that no address answered, unless a later dial
 * did not come that far. Times are ms since the epoch.
 */
export function tellingFailure<T extends { readonly at: number }, U extends { readonly at: number }>(
  handshake: T | undefined,
  dial: U | undefined,
): T | U | undefined {
  if (handshake === undefined || dial === undefined) return handshake ?? dial
  return dial.at - handshake.at > SAME_DIAL_MS ? dial : handshake
}
