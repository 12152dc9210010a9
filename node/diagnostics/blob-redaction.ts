import {
  authorityBodyFormat,
  authorityFormat,
  credentialsFormat,
  memberBodyFormat,
  memberFormat,
  revocationBodyFormat,
  revocationFormat,
  tagsSchema,
} from '../../protocols/admission/wire.ts'
import { toHex } from '../../protocols/common/bytes.ts'
import { MalformedError } from '../../protocols/common/errors.ts'
import { sha256, SIGNING_CONTEXTS, signedMessage } from '../../protocols/common/signing.ts'
import type { Announcement } from '../../protocols/membership/machine.ts'
import {
  accusationFormat,
  frameFormat,
  healFormat,
  signedAccusationFormat,
  signedHealFormat,
  unpackRecords,
  type Records,
} from '../../protocols/membership/wire.ts'
import {
  leaveFormat,
  registrationFormat,
  statementFormat,
  type MemberEntry,
  type RegisteredService,
} from '../../protocols/registry/wire.ts'
import type { Pseudonyms } from './pseudonyms.ts'

const MESH_ID_BYTES = 32

/**
 * Rewrites what nodes sign and send so that names, addresses, reasons and X.509 parts are pseudonyms, byte for byte as long as
 * before: frames are packed, and budgets spent, as with the originals. Signatures of what was rewritten are replaced too, or they
 * would tell a guessed name from a wrong one. What does not decode becomes bytes that do not decode either.
 *
 * Digests of the rewritten differ, and nodes compare digests: `hashes` leads from the SHA-256 of what was rewritten to that of the
 * original, both in hexadecimal.
 */
export class BlobRedaction {
  readonly hashes = new Map<string, string>()
  readonly #names: Pseudonyms
  readonly #meshId: Uint8Array
  readonly #done = new Map<string, Uint8Array>()

  constructor(names: Pseudonyms, meshId: Uint8Array) {
    this.#names = names
    this.#meshId = meshId
  }

  entry(entry: MemberEntry): MemberEntry {
    const { kind, statement, credentials } = entry
    return { kind, statement: this.statement(kind, statement), credentials: this.credentials(credentials) }
  }

  announcement({ addresses, relays, services }: Announcement): Announcement {
    return {
      addresses: this.addresses(addresses),
      relays,
      services: services.map((each) => this.#service(each)),
    }
  }

  addresses(addresses: readonly string[]): string[] {
    return addresses.map((address) => this.#names.address(address))
  }

  statement(kind: MemberEntry['kind'], bytes: Uint8Array): Uint8Array {
    return this.#once(kind, bytes, () => {
      const { body, signature } = statementFormat.decode(bytes)
      return statementFormat.encode({
        body: this.#statementBody(kind, body),
        signature: this.signature(signature),
      })
    })
  }

  credentials(bytes: Uint8Array): Uint8Array {
    return this.#once('credentials', bytes, () => {
      const { member, authority } = credentialsFormat.decode(bytes)
      return credentialsFormat.encode({ member: this.#member(member), authority: this.#authority(authority) })
    })
  }

  revocation(bytes: Uint8Array): Uint8Array {
    return this.#once('revocation', bytes, () => {
      const { body, authority, signature } = revocationFormat.decode(bytes)
      const told = revocationBodyFormat.decode(body)
      return revocationFormat.encode({
        body: revocationBodyFormat.encode({ ...told, reason: this.#names.word(told.reason) }),
        authority: authority === null ? null : this.#authority(authority),
        signature: this.signature(signature),
      })
    })
  }

  frame(bytes: Uint8Array): Uint8Array {
    try {
      const frame = frameFormat.decode(bytes)
      return 'entries' in frame ? frameFormat.encode({ ...frame, ...this.#records(frame) }) : bytes
    } catch (error) {
      if (!(error instanceof MalformedError)) throw error
      return this.#names.bytes(bytes)
    }
  }

  /** What this node was asked to sign, and its signature, as they stand in what was rewritten. */
  signed(message: Uint8Array, signature: Uint8Array): { message: Uint8Array; signature: Uint8Array } {
    for (const kind of ['registration', 'leave'] as const) {
      const context = Buffer.from(SIGNING_CONTEXTS[kind])
      if (!context.equals(message.subarray(0, context.length))) continue
      const body = message.slice(context.length + MESH_ID_BYTES)
      this.statement(kind, statementFormat.encode({ body, signature }))
      const rewritten = this.#statementBody(kind, body)
      return { message: signedMessage(kind, this.#meshId, rewritten), signature: this.signature(signature) }
    }
    return { message, signature }
  }

  /** Another 64 bytes. */
  signature(bytes: Uint8Array): Uint8Array {
    return this.#names.bytes(bytes)
  }

  #statementBody(kind: MemberEntry['kind'], body: Uint8Array): Uint8Array {
    if (kind === 'leave') return leaveFormat.encode(leaveFormat.decode(body))
    const registration = registrationFormat.decode(body)
    const addresses = this.addresses(registration.addresses)
    const services = registration.services.map((service) => this.#service(service))
    return registrationFormat.encode({ ...registration, addresses, services })
  }

  #service(service: RegisteredService): RegisteredService {
    const allow = service.allow.map((subject) => {
      const [kind = '', name] = subject.split(':')
      return name === undefined ? subject : `${kind}:${this.#names.word(name)}`
    })
    const tags = service.tags.map((tag) => this.#names.word(tag))
    return { ...service, name: this.#names.word(service.name), tags, allow }
  }

  #member(bytes: Uint8Array): Uint8Array {
    return this.#once('member', bytes, () => {
      const { body, signature } = memberFormat.decode(bytes)
      const told = memberBodyFormat.decode(body)
      const tags = told.tags.map((tag) => this.#names.word(tag)).sort()
      if (!tagsSchema.safeParse(tags).success) throw new MalformedError('two tags share a pseudonym')
      const rewritten = memberBodyFormat.encode({ ...told, name: this.#names.word(told.name), tags })
      return memberFormat.encode({ body: rewritten, signature: this.signature(signature) })
    })
  }

  #authority(bytes: Uint8Array): Uint8Array {
    const rewritten = this.#once('authority', bytes, () => {
      const { body, signature } = authorityFormat.decode(bytes)
      const told = authorityBodyFormat.decode(body)
      const x509Intermediate =
        told.x509Intermediate === null ? null : this.#names.bytes(told.x509Intermediate)
      return authorityFormat.encode({
        body: authorityBodyFormat.encode({ ...told, x509Intermediate }),
        signature: this.signature(signature),
      })
    })
    this.hashes.set(toHex(sha256(this.#meshId, rewritten)), toHex(sha256(this.#meshId, bytes)))
    return rewritten
  }

  #records(records: Records): Records {
    for (const { credentials } of carriedBy(records)) if (credentials !== null) this.credentials(credentials)
    return {
      authorities: records.authorities.map((bytes) => this.#authority(bytes)),
      entries: records.entries.map((entry) => ({
        ...entry,
        statement: this.statement(entry.kind, entry.statement),
        member: entry.member === null ? null : this.#member(entry.member),
      })),
      accusations: records.accusations.map((bytes) => this.#nameless(bytes, decodeAccusation)),
      heals: records.heals.map((bytes) => this.#nameless(bytes, decodeHeal)),
      revocations: records.revocations.map((bytes) => this.revocation(bytes)),
    }
  }

  /** What holds keys and numbers only stays as it is, provided that it is what it should be. */
  #nameless(bytes: Uint8Array, decode: (bytes: Uint8Array) => void): Uint8Array {
    try {
      decode(bytes)
      return bytes
    } catch (error) {
      if (!(error instanceof MalformedError)) throw error
      return this.#names.bytes(bytes)
    }
  }

  #once(kind: string, bytes: Uint8Array, rewrite: () => Uint8Array): Uint8Array {
    const digest = toHex(sha256(bytes))
    const name = `${kind} ${digest}`
    let rewritten = this.#done.get(name)
    if (rewritten !== undefined) return rewritten
    try {
      rewritten = rewrite()
    } catch (error) {
      if (!(error instanceof MalformedError)) throw error
      rewritten = this.#names.bytes(bytes)
    }
    if (rewritten.length !== bytes.length)
      throw new Error(`${kind} of ${bytes.length} bytes became ${rewritten.length}`)
    this.#done.set(name, rewritten)
    this.hashes.set(toHex(sha256(rewritten)), digest)
    return rewritten
  }
}

function decodeAccusation(bytes: Uint8Array): void {
  accusationFormat.decode(signedAccusationFormat.decode(bytes).body)
}

function decodeHeal(bytes: Uint8Array): void {
  healFormat.decode(signedHealFormat.decode(bytes).body)
}

/** Nothing where an entry points nowhere: the machine gets no further either. */
function carriedBy(records: Records): ReturnType<typeof unpackRecords> {
  try {
    return unpackRecords(records)
  } catch (error) {
    if (!(error instanceof MalformedError)) throw error
    return []
  }
}
