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

/** As much of a standing as decides whether two nodes can meet, and as nodes tell each other. */
export type PathStanding = 'dialable' | Pick<NatBehaviour, 'mapping' | 'filtering'>
