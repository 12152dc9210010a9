/** One or two spare root keys beside the founder's, so that losing one machine does not lose the mesh; more are not needed. */
export const ROOT_KEYS_MAX = 3
/** A P-256 root with name constraints is about 450 bytes of DER, an RSA-4096 one about 1.4 KiB. */
export const X509_BYTES_MAX = 2_048
/** Root document: X.509 root, keys and two names. */
export const ROOT_BYTES_MAX = 2_560
/** One signed certificate of either kind: an authority's carries an X.509 intermediate. */
export const AUTHORITY_CERTIFICATE_BYTES_MAX = 2_560
/** A member certificate with every role and 16 tags is below 900 bytes. */
export const MEMBER_CERTIFICATE_BYTES_MAX = 1_024
/** Both certificates; must fit a handshake message beside its own fields. */
export const CREDENTIALS_BYTES_MAX = 4_096
/** Tags of one member; policies stay readable. */
export const TAGS_MAX = 16

/** Authority certificates: a year, the root ceremony is warned about at 60, 30 and 7 days. */
export const AUTHORITY_LIFETIME_MS = 365 * 86_400_000
/** Member certificates: the time a partitioned holder of a revoked certificate can still be believed. */
export const MEMBER_LIFETIME_MS = 30 * 86_400_000
/** Expired certificates still accepted while no admit authority can be reached: one more lifetime, so a dead laptop does not kill a mesh. */
export const GRACE_MS = 30 * 86_400_000
/** How far a verifier's clock may be behind the issuer's before `not yet valid`; the bound registrations use too. */
export const CLOCK_TOLERANCE_MS = 5 * 60_000
/** Join requests further from the issuer's clock are refused with its time: the bound of the handshake. */
export const JOIN_SKEW_MS = 120_000

/** The text of an invite: eight relayed addresses and 16 tags stay below it, and it still fits one QR code of version 40-L. */
export const INVITE_TEXT_MAX = 2_900
/** Signed part of an invite. */
export const INVITE_BYTES_MAX = 2_048
/** Addresses in an invite: two doors with a public, a LAN and two relayed addresses each. */
export const INVITE_ADDRESSES_MAX = 8
/** One multiaddr text; a relayed IPv6 one with two peer ids has about 170 characters. */
export const ADDRESS_CHARACTERS_MAX = 256
/** Joins by one invite; each is remembered until the invite is forgotten. */
export const INVITE_USES_MAX = 1_000
/** Longest life of an invite: it is a bearer secret. */
export const INVITE_TTL_MAX_MS = 30 * 86_400_000
/** Live and remembered invites of one issuer; at the limit creating one is refused with `invite-limit`. */
export const LEDGER_INVITES_MAX = 1_000
/** After expiry an invite is remembered so long, so that a repeated request still gets its answer and others the right reason; a redeemed one as long as its certificates can be believed. */
export const LEDGER_RETENTION_MS = 7 * 86_400_000

/** Join request: far above the 400 bytes of a real one. Agrees with the join exchange of the secure channel. */
export const JOIN_REQUEST_BYTES_MAX = 8_192
/** Join reply: root document, credentials and 32 addresses. Agrees with the join exchange of the secure channel. */
export const JOIN_REPLY_BYTES_MAX = 16_384
/** Addresses given to a new member; it needs one that answers. */
export const JOIN_ADDRESSES_MAX = 32
/** Authority certificates already verified, kept by digest: a mesh has a handful. At the limit the oldest is verified again. */
export const VERIFIED_AUTHORITIES_MAX = 64

/** Why a member was revoked, for people: a line. UTF-8. */
export const REVOCATION_REASON_BYTES_MAX = 200
/** Signed part of a revocation: two keys, a serial, a reason. */
export const REVOCATION_BODY_BYTES_MAX = 512
/** A revocation with the certificate of the authority that signed it. */
export const REVOCATION_BYTES_MAX = REVOCATION_BODY_BYTES_MAX + AUTHORITY_CERTIFICATE_BYTES_MAX + 128
/** Revoked members remembered: a third of the largest mesh in a year, some 5 MiB. At the limit a further one is not taken (`full`). */
export const MEMBER_REVOCATIONS_MAX = 4_096
/** Cut authorities remembered, apart from members, so that an authority that fills the set can still be cut. */
export const AUTHORITY_REVOCATIONS_MAX = 256
/** A revocation is forgotten when nothing it cuts can be valid or be accepted by grace: the longest life, and the grace. */
export const REVOCATION_KEPT_MS = AUTHORITY_LIFETIME_MS + GRACE_MS

/** Joins that wait for approval at one issuer; a person looks at each. At the limit a further one is refused with `approval-limit`. */
export const PENDING_JOINS_MAX = 64
/** A waiting joiner asks again every few seconds; one that has not for so long is forgotten, a denied one too. */
export const PENDING_KEPT_MS = 10 * 60_000
