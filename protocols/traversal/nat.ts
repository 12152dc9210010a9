/** How a NAT maps inside endpoints to outside ones, or which outside endpoints it lets in (RFC 4787 §4.1, §5). */
export type Dependence = 'endpoint-independent' | 'address-dependent' | 'address-and-port-dependent'

/** What a NAT does with one transport protocol. */
export interface NatBehaviour {
  readonly mapping: Dependence
  readonly filtering: Dependence
  /** The outside port is the inside one, where it is free. */
  readonly keepsPort: boolean
  /** Two hosts behind it reach each other by their outside endpoints. */
  readonly hairpins: boolean
}

/** How a node stands towards the internet: dialable there, or behind a NAT that does this. */
export type Standing = 'dialable' | NatBehaviour

/** As much of a standing as decides whether two nodes can meet. */
export type PathStanding = 'dialable' | Pick<NatBehaviour, 'mapping' | 'filtering'>

/** The same as far as it is known, and as nodes tell each other: null for a part that is not, one part at least is. */
export type PartialStanding =
  | 'dialable'
  | { readonly mapping: Dependence | null; readonly filtering: Dependence | null }

/** What a NAT may do with ports. */
export const DEPENDENCES: readonly Dependence[] = [
  'endpoint-independent',
  'address-dependent',
  'address-and-port-dependent',
]

/** What people call a NAT: RFC 3489 §5's names, which RFC 4787 took apart into mapping and filtering. */
export type NatKind = 'full-cone' | 'address-restricted' | 'port-restricted' | 'symmetric'

const CONES = {
  'endpoint-independent': 'full-cone',
  'address-dependent': 'address-restricted',
  'address-and-port-dependent': 'port-restricted',
} as const satisfies Record<Dependence, NatKind>

/** The name of what a NAT does; null where too little of it is known. */
export function natKind(mapping: Dependence | null, filtering: Dependence | null): NatKind | null {
  if (mapping === null) return null
  if (mapping !== 'endpoint-independent') return 'symmetric'
  return filtering === null ? null : CONES[filtering]
}
