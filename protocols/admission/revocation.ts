import { compareBytes, equalBytes, toHex } from '../common/bytes.ts'
import { MalformedError } from '../common/errors.ts'
import type { Hash, Signer, Verify } from '../common/ports.ts'
import { sha256, signedMessage, verifyEd25519 } from '../common/signing.ts'
import type { AuthorityCache, Revoked } from './certificates.ts'
import { AdmissionError, type RevocationCode } from './errors.ts'
import {
  AUTHORITY_REVOCATIONS_MAX,
  CLOCK_TOLERANCE_MS,
  MEMBER_REVOCATIONS_MAX,
  REVOCATION_KEPT_MS,
} from './limits.ts'
import type { Root } from './root.ts'
import {
  authorityBodyFormat,
  authorityFormat,
  revocationBodyFormat,
  revocationFormat,
  type AuthorityBody,
  type RevocationBody,
} from './wire.ts'

/**
 * Revokes a member's certificate, or with `serial: null` all that `key` has. `now` in ms.
 * @throws AdmissionError `revocation-role-missing` when the signer's certificate does not let it.
 */
export function createRevocation(input: {
  meshId: Uint8Array
  signer: Signer
  authorityCertificate: Uint8Array
  key: Uint8Array
  serial: Uint8Array | null
  /** For people; at most 200 bytes of UTF-8, no control characters. */
  reason: string
  now: number
}): Uint8Array {
  const { key, serial, reason, now, signer } = input
  const { roles } = authorityBodyFormat.decode(authorityFormat.decode(input.authorityCertificate).body)
  if (!roles.includes('revoke'))
    throw new AdmissionError('revocation-role-missing', `this authority has the roles ${roles.join(', ')}`)
  const issuer = signer.publicKey
  return sealRevocation(input.meshId, signer, input.authorityCertificate, {
    kind: 'member',
    version: 1,
    key,
    serial,
    reason,
    issuedAt: now,
    issuer,
  })
}

/**
 * Cuts an authority with a root key: nothing it signed from `from` (ms) on is believed any more. `from` = `now` retires it,
 * and what it did before stands; a stolen key can date its work back, so it is cut with `from` = 0.
 */
export function createAuthorityRevocation(input: {
  meshId: Uint8Array
  rootSigner: Signer
  key: Uint8Array
  from: number
  reason: string
  now: number
}): Uint8Array {
  const { key, from, reason, now, rootSigner } = input
  const issuer = rootSigner.publicKey
  return sealRevocation(input.meshId, rootSigner, null, {
    kind: 'authority',
    version: 1,
    key,
    from,
    reason,
    issuedAt: now,
    issuer,
  })
}

function sealRevocation(
  meshId: Uint8Array,
  signer: Signer,
  authority: Uint8Array | null,
  value: RevocationBody,
): Uint8Array {
  const body = revocationBodyFormat.encode(value)
  return revocationFormat.encode({
    body,
    authority,
    signature: signer.sign(signedMessage('revocation', meshId, body)),
  })
}

/** A revocation in the set. */
export interface Revocation {
  readonly bytes: Uint8Array
  readonly body: RevocationBody
}

/** What became of a revocation. */
export type AddOutcome =
  /** `dropped` are held no longer: it takes their place, or it cuts the authority that signed them. */
  | { readonly outcome: 'added'; readonly revocation: Revocation; readonly dropped: readonly Revocation[] }
  /** It, or a later one for the same, is held. */
  | { readonly outcome: 'known'; readonly revocation: Revocation }
  /** It is good, but there is no room; an alarm is due. */
  | { readonly outcome: 'full'; readonly revocation: Revocation }
  | { readonly outcome: 'refused'; readonly code: RevocationCode; readonly text: string }

/** An outcome that somebody has to act upon. */
export type Taken = Extract<AddOutcome, { outcome: 'added' | 'full' }>

interface Held extends Revocation {
  readonly hash: Uint8Array
}

/**
 * All revocations of a mesh that still cut something: a set that only grows until its entries end, so that nodes agree
 * whatever the order they hear them in. One entry for each (kind, key, serial, issuer).
 */
export class RevocationSet {
  readonly #root: Root
  readonly #verify: Verify
  readonly #sha256: Hash
  readonly #cache: AuthorityCache | undefined
  readonly #taken: ((outcome: Taken) => void) | undefined
  readonly #members = new Map<string, Held>()
  readonly #authorities = new Map<string, Held>()
  /** How many entries name `key` or `key/serial`: the look-up of a handshake. */
  readonly #cut = new Map<string, number>()
  readonly #hash = new Uint8Array(8)

  /** @param init `taken` is told of each revocation `add` takes, or has no room for: what is kept and acted upon. */
  constructor(init: {
    root: Root
    verify?: Verify
    hash?: Hash | undefined
    cache?: AuthorityCache
    taken?: (outcome: Taken) => void
  }) {
    this.#root = init.root
    this.#verify = init.verify ?? verifyEd25519
    this.#sha256 = init.hash ?? sha256
    this.#cache = init.cache
    this.#taken = init.taken
  }

  /** How many revocations are held. */
  get size(): number {
    return this.#members.size + this.#authorities.size
  }

  /** For `checkCredentials` and all who ask it; bound to this set. */
  readonly isRevoked: Revoked = ({ key, serial, issuer, notBefore }) => {
    const hex = toHex(key)
    if (this.#cut.has(hex) || this.#cut.has(`${hex}/${toHex(serial)}`)) return true
    return notBefore >= this.cutFrom(issuer)
  }

  /** True when every certificate of `key` is revoked, those it does not have yet too. */
  isKeyRevoked(key: Uint8Array): boolean {
    return this.#cut.has(toHex(key))
  }

  /** Since when (ms) nothing that `key` signs as an authority is believed; infinity for one that was not cut. */
  cutFrom(key: Uint8Array): number {
    const held = this.#authorities.get(toHex(key))
    return held?.body.kind === 'authority' ? held.body.from : Number.POSITIVE_INFINITY
  }

  /** 8 bytes that are equal where the sets are: XOR of the entries' hashes, zero when empty. */
  hash(): Uint8Array {
    return this.#hash.slice()
  }

  /** Every revocation's bytes, those of authorities first: what follows is then judged once. */
  all(): Uint8Array[] {
    return this.entries().map(({ bytes }) => bytes)
  }

  /** Every revocation, those of authorities first. */
  entries(): Revocation[] {
    return [...this.#authorities.values(), ...this.#members.values()]
  }

  /** Takes a revocation from anywhere; `now` in ms. Never throws for what a peer sent. */
  add(bytes: Uint8Array, now: number): AddOutcome {
    const judged = this.#judge(bytes)
    if ('code' in judged) return { outcome: 'refused', ...judged }
    const { issuedAt } = judged.body
    if (issuedAt > now + CLOCK_TOLERANCE_MS)
      return refused('revocation-out-of-time', `signed ${issuedAt - now} ms from now`)
    if (endOfRevocation(judged.body) <= now)
      return refused('revocation-ended', `signed ${now - issuedAt} ms ago`)
    const outcome = this.#take(judged, now)
    if (outcome.outcome === 'added' || outcome.outcome === 'full') this.#taken?.(outcome)
    return outcome
  }

  /** Takes back what this node had kept: its clock, which may be off at the start, is not asked. */
  restore(bytes: Uint8Array): AddOutcome {
    const judged = this.#judge(bytes)
    return 'code' in judged ? { outcome: 'refused', ...judged } : this.#take(judged, judged.body.issuedAt)
  }

  /** Forgets what has ended, and says what that was. Nodes that do so at different times differ for that time only. */
  sweep(now: number): Revocation[] {
    const ended: Revocation[] = []
    for (const map of [this.#authorities, this.#members]) {
      for (const [id, held] of map) {
        if (endOfRevocation(held.body) > now) continue
        this.#drop(map, id, held)
        ended.push(held)
      }
    }
    return ended
  }

  #judge(bytes: Uint8Array): Held | { code: RevocationCode; text: string } {
    let parsed: Parsed
    try {
      parsed = parse(bytes)
    } catch (error) {
      if (error instanceof MalformedError) return { code: 'revocation-malformed', text: error.message }
      throw error
    }
    return this.#checkIssuer(parsed) ?? { bytes, body: parsed.body, hash: this.#sha256(bytes).subarray(0, 8) }
  }

  #checkIssuer(parsed: Parsed): { code: RevocationCode; text: string } | null {
    const { body, authority } = parsed
    const { meshId, document } = this.#root
    const isRootKey = (wanted: Uint8Array) => document.rootKeys.some((key) => equalBytes(key, wanted))
    const signer = toHex(body.issuer)
    if (body.kind === 'authority') {
      if (authority !== null || !isRootKey(body.issuer))
        return { code: 'revocation-authority-unknown', text: `signed by ${signer}, no root key` }
    } else {
      if (authority === null || !equalBytes(authority.body.subject, body.issuer))
        return {
          code: 'revocation-authority-unknown',
          text: `signed by ${signer}, whose certificate is not beside it`,
        }
      if (!isRootKey(authority.body.issuer))
        return {
          code: 'revocation-authority-unknown',
          text: `${signer} was made an authority by no root key`,
        }
      if (!this.#isAuthority(authority))
        return { code: 'revocation-signature-invalid', text: 'signature of the authority certificate' }
      if (!authority.body.roles.includes('revoke'))
        return {
          code: 'revocation-role-missing',
          text: `authority has roles ${authority.body.roles.join(', ')}`,
        }
      const { notBefore, notAfter } = authority.body
      if (body.issuedAt < notBefore - CLOCK_TOLERANCE_MS || body.issuedAt > notAfter)
        return {
          code: 'revocation-out-of-time',
          text: `signed at ${body.issuedAt}, authority ${notBefore}–${notAfter}`,
        }
    }
    const message = signedMessage('revocation', meshId, parsed.signedBody)
    if (!this.#verify(body.issuer, message, parsed.signature))
      return { code: 'revocation-signature-invalid', text: 'signature of the revocation' }
    return null
  }

  #isAuthority({ bytes, body, signedBody, signature }: NonNullable<Parsed['authority']>): boolean {
    const { meshId } = this.#root
    const check = () =>
      this.#verify(body.issuer, signedMessage('authorityCertificate', meshId, signedBody), signature)
    return this.#cache?.verified(meshId, bytes, check) ?? check()
  }

  #take(candidate: Held, now: number): AddOutcome {
    const { body } = candidate
    if (body.kind === 'member' && body.issuedAt >= this.cutFrom(body.issuer))
      return refused('revocation-void', `signed at ${body.issuedAt} by a cut authority`)
    const isMember = body.kind === 'member'
    const map = isMember ? this.#members : this.#authorities
    const id = idOf(body)
    const held = map.get(id)
    if (held !== undefined && !isStronger(candidate, held)) return { outcome: 'known', revocation: held }
    if (held === undefined && map.size >= (isMember ? MEMBER_REVOCATIONS_MAX : AUTHORITY_REVOCATIONS_MAX)) {
      this.sweep(now)
      if (map.size >= (isMember ? MEMBER_REVOCATIONS_MAX : AUTHORITY_REVOCATIONS_MAX))
        return { outcome: 'full', revocation: candidate }
    }
    const dropped: Revocation[] = []
    if (held !== undefined) {
      this.#drop(map, id, held)
      dropped.push(held)
    }
    this.#hold(map, id, candidate)
    if (!isMember) dropped.push(...this.#dropVoid(body.key))
    return { outcome: 'added', revocation: candidate, dropped }
  }

  /** What a cut authority revoked since is void: whoever arrives at the same set in another order never took it. */
  #dropVoid(authority: Uint8Array): Revocation[] {
    const from = this.cutFrom(authority)
    const dropped: Revocation[] = []
    for (const [id, held] of this.#members) {
      if (held.body.issuedAt < from || !equalBytes(held.body.issuer, authority)) continue
      this.#drop(this.#members, id, held)
      dropped.push(held)
    }
    return dropped
  }

  #hold(map: Map<string, Held>, id: string, held: Held): void {
    map.set(id, held)
    this.#mix(held.hash)
    this.#count(held.body, 1)
  }

  #drop(map: Map<string, Held>, id: string, held: Held): void {
    map.delete(id)
    this.#mix(held.hash)
    this.#count(held.body, -1)
  }

  #mix(hash: Uint8Array): void {
    for (let i = 0; i < 8; i++) this.#hash[i] = (this.#hash[i] as number) ^ (hash[i] as number)
  }

  #count(body: RevocationBody, change: number): void {
    if (body.kind !== 'member') return
    const name = body.serial === null ? toHex(body.key) : `${toHex(body.key)}/${toHex(body.serial)}`
    const count = (this.#cut.get(name) ?? 0) + change
    if (count === 0) this.#cut.delete(name)
    else this.#cut.set(name, count)
  }
}

/** Until when (ms) a revocation is kept: from then on nothing it cuts can be valid or accepted by grace. */
export function endOfRevocation(body: RevocationBody): number {
  return body.issuedAt + REVOCATION_KEPT_MS
}

interface Parsed {
  readonly body: RevocationBody
  readonly signedBody: Uint8Array
  readonly signature: Uint8Array
  readonly authority: {
    readonly bytes: Uint8Array
    readonly body: AuthorityBody
    readonly signedBody: Uint8Array
    readonly signature: Uint8Array
  } | null
}

function parse(bytes: Uint8Array): Parsed {
  const { body, authority, signature } = revocationFormat.decode(bytes)
  const signed = authority === null ? null : authorityFormat.decode(authority)
  return {
    body: revocationBodyFormat.decode(body),
    signedBody: body,
    signature,
    authority:
      authority === null || signed === null
        ? null
        : {
            bytes: authority,
            body: authorityBodyFormat.decode(signed.body),
            signedBody: signed.body,
            signature: signed.signature,
          },
  }
}

function refused(code: RevocationCode, text: string): AddOutcome {
  return { outcome: 'refused', code, text }
}

/** An entry for each issuer: should one be cut, what another said about the same member still stands. */
function idOf(body: RevocationBody): string {
  if (body.kind === 'authority') return toHex(body.key)
  return `${toHex(body.key)}/${body.serial === null ? '' : toHex(body.serial)}/${toHex(body.issuer)}`
}

/** A total order, so that every node keeps the same one of two: the earlier cut, then the later end, then the lower bytes. */
function isStronger(a: Held, b: Held): boolean {
  if (a.body.kind === 'authority' && b.body.kind === 'authority' && a.body.from !== b.body.from)
    return a.body.from < b.body.from
  if (a.body.issuedAt !== b.body.issuedAt) return a.body.issuedAt > b.body.issuedAt
  return compareBytes(a.bytes, b.bytes) < 0
}
