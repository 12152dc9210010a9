import type { RotationCrypto, RotationKeys } from './crypto.ts'
import type { NextKeys, RotationState } from './state.ts'

/** The closed state: nothing secret is left in it. */
export function forgotten(state: RotationState, crypto: RotationCrypto): RotationState {
  state.own?.offer.drop()
  crypto.forget(state.root, ...(state.next === null ? [] : secretsOf(state.next.keys)))
  return { ...state, closed: true, own: null, next: null, retryAt: null }
}

/** The state with another next key; the one it replaces is zeroed. */
export function replaceNext(state: RotationState, crypto: RotationCrypto, next: NextKeys): RotationState {
  if (state.next !== null) crypto.forget(...secretsOf(state.next.keys))
  return { ...state, next }
}

function secretsOf({ root, writeKey, readKey }: RotationKeys): Uint8Array[] {
  return [root, writeKey, readKey]
}
