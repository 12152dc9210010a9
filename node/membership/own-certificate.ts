import { KithError } from '../../protocols/common/errors.ts'
import { peerIdFromKey } from '../../protocols/common/peer-id.ts'
import type { Clock, EmitEvent, Timers } from '../../protocols/common/ports.ts'
import { checkCredentials, type Member } from '../../protocols/admission/certificates.ts'
import { AdmissionError } from '../../protocols/admission/errors.ts'
import type { Root } from '../../protocols/admission/root.ts'
import { credentialsFormat, memberBodyFormat, memberFormat } from '../../protocols/admission/wire.ts'

/** How often the date is looked at; a laptop that was away for a month then renews within a minute. */
const CHECK_INTERVAL_MS = 60_000
/** A failed renewal is reported once in this time: there are 15 days left for the next try. */
const REPORT_INTERVAL_MS = 6 * 3_600_000
/** One try: a stream to the issuer and its signature. */
const RENEWAL_TIMEOUT_MS = 10_000

/** What keeping the own certificate fresh needs. */
export interface OwnCertificateInit {
  readonly root: Root
  /** This node's key, 32 bytes. */
  readonly selfKey: Uint8Array
  readonly credentials: Uint8Array
  readonly clock: Clock
  readonly timers: Timers
  readonly emit: EmitEvent
  /** Makes fresh credentials here; null on a node that is no authority. */
  readonly issue: ((member: Member) => Uint8Array) | null
  /** Asks the issuer for fresh credentials. */
  readonly ask: (issuerId: string, signal: AbortSignal) => Promise<Uint8Array>
  /** Resolves when the credentials are on the disk. */
  readonly save: (credentials: Uint8Array) => Promise<void>
  /** Told of credentials that are on the disk. */
  readonly renewed: (credentials: Uint8Array) => void
}

/** This node's own certificate: renewed from half of its life on, by its issuer, and kept before it is shown. */
export class OwnCertificate {
  readonly #init: OwnCertificateInit
  #credentials: Uint8Array
  #member: Member
  #isRenewing = false
  #reportedAt = Number.NEGATIVE_INFINITY
  #stopTimer: (() => void) | null = null

  /**
   * An expired certificate is used for a while (nobody may be there to renew it), by an authority however old it is.
   * @throws AdmissionError a certificate code when it does not hold.
   */
  constructor(init: OwnCertificateInit) {
    this.#init = init
    this.#credentials = init.credentials
    const now = init.clock.now()
    this.#member = this.#check(
      init.credentials,
      init.issue === null ? now : Math.min(now, endOf(init.credentials)),
    )
  }

  get credentials(): Uint8Array {
    return this.#credentials
  }

  get member(): Member {
    return this.#member
  }

  /** Begins to look at the date. */
  start(): void {
    this.#stopTimer ??= this.#init.timers.every(CHECK_INTERVAL_MS, () => void this.renewIfDue())
  }

  stop(): void {
    this.#stopTimer?.()
    this.#stopTimer = null
  }

  /** Renews when half of the certificate's life is over. Never rejects: what fails is reported and tried again. */
  async renewIfDue(): Promise<void> {
    const { clock, emit, issue, ask, save, renewed } = this.#init
    const { notBefore, notAfter, issuer, name } = this.#member
    if (this.#isRenewing || clock.now() < notBefore + (notAfter - notBefore) / 2) return
    this.#isRenewing = true
    try {
      const credentials =
        issue === null
          ? await ask(peerIdFromKey(issuer), AbortSignal.timeout(RENEWAL_TIMEOUT_MS))
          : issue(this.#member)
      const member = this.#check(credentials, clock.now())
      if (member.name !== name || member.notAfter <= notAfter)
        throw new AdmissionError(
          'join-reply-invalid',
          'the renewed certificate is no renewal of the present one',
        )
      await save(credentials)
      this.#credentials = credentials
      this.#member = member
      renewed(credentials)
      emit({ kind: 'certificate.renewed', severity: 'info', fields: { expires: member.notAfter } })
    } catch (error) {
      this.#report(error)
    } finally {
      this.#isRenewing = false
    }
  }

  #report(error: unknown): void {
    const { clock, emit } = this.#init
    const now = clock.now()
    if (Math.abs(now - this.#reportedAt) < REPORT_INTERVAL_MS) return
    this.#reportedAt = now
    emit({
      kind: 'certificate.renewal-failed',
      severity: 'warning',
      reason: error instanceof KithError ? error.code : 'invite-issuer-unreachable',
      text: error instanceof Error ? error.message : String(error),
      fields: { expires: this.#member.notAfter },
    })
  }

  #check(credentials: Uint8Array, now: number): Member {
    const { root, selfKey } = this.#init
    const checked = checkCredentials({ root, credentials, peerKey: selfKey, now, authorityReachable: false })
    if (!checked.ok)
      throw new AdmissionError(checked.code, `This node's own certificate does not hold: ${checked.text}`)
    return checked.member
  }
}

/** When the member certificate ends, ms. @throws MalformedError */
function endOf(credentials: Uint8Array): number {
  const { member } = credentialsFormat.decode(credentials)
  return memberBodyFormat.decode(memberFormat.decode(member).body).notAfter
}
