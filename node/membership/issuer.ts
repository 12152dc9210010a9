import { toHex } from '../../protocols/common/bytes.ts'
import { peerIdFromKey } from '../../protocols/common/peer-id.ts'
import type { Clock, EmitEvent, Random, Signer, Store } from '../../protocols/common/ports.ts'
import { issueMember, type Member } from '../../protocols/admission/certificates.ts'
import { AdmissionError, type AdmissionCode } from '../../protocols/admission/errors.ts'
import { makeInvite } from '../../protocols/admission/invite.ts'
import { makePeerInvite } from '../../protocols/admission/peer-invite.ts'
import { ed25519Signer } from '../../protocols/common/signing.ts'
import {
  readJoinRequest,
  sealAnswer,
  type Answer,
  type ReadJoinRequest,
} from '../../protocols/admission/join.ts'
import { INVITE_TTL_MAX_MS, JOIN_ADDRESSES_MAX } from '../../protocols/admission/limits.ts'
import {
  waitingJoins,
  restoreLedger,
  step,
  type InviteLedger,
  type InviteRecord,
  type LedgerEffect,
  type LedgerEvent,
  type Redemption,
  type WaitingJoin,
} from '../../protocols/admission/machine.ts'
import type { Root } from '../../protocols/admission/root.ts'
import {
  inviteRecordFormat,
  redemptionFormat,
  type MemberRole,
  type Reach,
} from '../../protocols/admission/wire.ts'

const INVITE_PREFIX = 'invite/i/'
const REDEMPTION_PREFIX = 'invite/r/'

/** What an admit authority issues with. */
export interface IssuerInit {
  readonly root: Root
  readonly signer: Signer
  readonly authorityCertificate: Uint8Array
  readonly store: Store
  readonly clock: Clock
  readonly random: Random
  readonly emit: EmitEvent
  /** True when a member with another key has the name. */
  readonly nameTaken: (name: string, joinerKey: Uint8Array) => boolean
  /** Addresses (with /p2p/) of members a newcomer can dial, best first. */
  readonly bootstrap: () => readonly string[]
  /** True for a key that no certificate helps any more. */
  readonly isRevoked: (joinerKey: Uint8Array) => boolean
}

/** A wanted invite. `ttlMs` from now. */
export interface InviteInput {
  readonly name: string | null
  readonly roles: readonly MemberRole[]
  readonly tags: readonly string[]
  readonly uses: number
  readonly ttlMs: number
  readonly bootstrap: readonly string[]
  readonly reach: Reach
  /** Each join waits until a person approves it. */
  readonly approve?: boolean
}

/** The issuing side of admission: makes invites and redeems them, one write at a time, always on the disk before a reply. */
export class Issuer {
  readonly #init: IssuerInit
  #ledger: InviteLedger
  #writes: Promise<void> = Promise.resolve()
  #isStale = false

  private constructor(init: IssuerInit, ledger: InviteLedger) {
    this.#init = init
    this.#ledger = ledger
  }

  /** @throws MalformedError when the stored book was damaged. */
  static async open(init: IssuerInit): Promise<Issuer> {
    return new Issuer(init, await loadLedger(init.store))
  }

  /** Makes an invite. @throws AdmissionError `invite-invalid`, `invite-limit`. */
  async invite(input: InviteInput): Promise<{ text: string; expires: number; uses: number }> {
    const { root, signer, random, clock } = this.#init
    const now = clock.now()
    const expires = now + input.ttlMs
    const { name, uses, reach } = input
    const roles = [...new Set(input.roles)]
    const tags = [...new Set(input.tags)]
    const { text, invite } = makeInvite({
      issuerSigner: signer,
      seed: random.bytes(32),
      meshId: root.meshId,
      meshName: root.document.name,
      inviteId: random.bytes(16),
      bootstrap: [...input.bootstrap],
      reach,
      name,
      roles,
      tags,
      uses,
      expires,
    })
    const { inviteId, oneTimeKey } = invite.body
    const record = {
      inviteId,
      oneTimeKey,
      name,
      roles: invite.body.roles,
      tags: invite.body.tags,
      uses,
      expires,
      ...(input.approve === true ? { approve: true as const } : {}),
    }
    const effects = await this.#step({ type: 'create', record }, now)
    for (const effect of effects)
      if (effect.type === 'refuse') throw new AdmissionError(effect.code, effect.text)
    this.#init.emit({
      kind: 'invite.created',
      severity: 'notice',
      fields: { invite: toHex(inviteId), uses, expires, approve: input.approve === true },
    })
    return { text, expires, uses }
  }

  /**
   * Answers a join request; the answer is sealed to the joiner, a refusal too.
   * @throws MalformedError when nobody can be answered: the request does not decode or its joiner did not sign it.
   */
  async redeem(bytes: Uint8Array): Promise<Uint8Array> {
    const { root, signer, random, clock } = this.#init
    const request = readJoinRequest(bytes, root.meshId)
    const now = clock.now()
    const answer = await this.#decide(request, now)
    const meshId = root.meshId
    return sealAnswer({ request, meshId, issuer: signer, answer, ephemeral: random.bytes(32), now })
  }

  /** Fresh credentials for a member whose present certificate holds, whoever admitted it, with what that one grants. */
  renew(member: Member): Uint8Array {
    const { root, signer, authorityCertificate, random, clock } = this.#init
    const { key: subject, name, roles, tags } = member
    return issueMember({
      meshId: root.meshId,
      authoritySigner: signer,
      authorityCertificate,
      subject,
      name,
      roles,
      tags,
      serial: random.bytes(16),
      nonce: random.bytes(16),
      now: clock.now(),
    })
  }

  /**
   * An invite that carries the certificate of one known peer: it joins with nobody asked.
   * @throws AdmissionError `invite-invalid` when it gets too long, `node-name-taken`, `invite-limit`, `certificate-revoked`.
   */
  async invitePeer(input: {
    readonly joiner: Uint8Array
    readonly name: string
    readonly roles: readonly MemberRole[]
    readonly tags: readonly string[]
    readonly bootstrap: readonly string[]
    readonly reach: Reach
  }): Promise<{ text: string; expires: number }> {
    const { root, signer, random, clock, emit, nameTaken, isRevoked } = this.#init
    const { joiner, name, bootstrap, reach } = input
    if (isRevoked(joiner))
      throw new AdmissionError('certificate-revoked', `${peerIdFromKey(joiner)} was revoked`)
    const now = clock.now()
    const record = {
      inviteId: random.bytes(16),
      oneTimeKey: ed25519Signer(random.bytes(32)).publicKey, // nobody has its secret: there is nothing to redeem
      name,
      roles: [...new Set(input.roles)].sort(),
      tags: [...new Set(input.tags)].sort(),
      uses: 1,
      expires: now + INVITE_TTL_MAX_MS,
    }
    const effects = await this.#step(
      {
        type: 'grant',
        record,
        joiner,
        name,
        nameTaken: (wanted) => nameTaken(wanted, joiner),
        serial: random.bytes(16),
        nonce: random.bytes(16),
      },
      now,
    )
    for (const effect of effects) {
      if (effect.type === 'refuse') throw new AdmissionError(effect.code, effect.text)
      if (effect.type !== 'admit') continue
      const credentials = this.#credentialsOf(effect.redemption, record)
      const made = makePeerInvite({ root, issuerSigner: signer, credentials, bootstrap, reach })
      emit({
        kind: 'invite.created',
        severity: 'notice',
        peer: peerIdFromKey(joiner),
        fields: { invite: toHex(record.inviteId), uses: 1, expires: made.expires },
      })
      return made
    }
    throw new Error('the ledger neither granted nor refused')
  }

  /** Joins that wait for approval here. */
  pending(): WaitingJoin[] {
    return waitingJoins(this.#ledger, this.#init.clock.now())
  }

  /**
   * Lets a waiting joiner in: it gets its certificate when it asks next, within seconds.
   * @throws AdmissionError `join-not-pending`, `invite-used-up`, `invite-expired`, `node-name-taken`.
   */
  async approve(joiner: Uint8Array): Promise<string> {
    const { random, clock, emit, nameTaken } = this.#init
    const serial = random.bytes(16)
    const nonce = random.bytes(16)
    const effects = await this.#step(
      { type: 'approve', joiner, nameTaken: (wanted) => nameTaken(wanted, joiner), serial, nonce },
      clock.now(),
    )
    for (const effect of effects) {
      if (effect.type === 'refuse') throw new AdmissionError(effect.code, effect.text)
      if (effect.type !== 'admit') continue
      const { name } = effect.redemption
      emit({ kind: 'join.approved', severity: 'notice', peer: peerIdFromKey(joiner), fields: { name } })
      return name
    }
    throw new Error('the ledger neither admitted nor refused')
  }

  /** Turns a waiting joiner away. @throws AdmissionError `join-not-pending`. */
  async deny(joiner: Uint8Array): Promise<string> {
    const { clock, emit } = this.#init
    for (const effect of await this.#step({ type: 'deny', joiner }, clock.now())) {
      if (effect.type === 'refuse') throw new AdmissionError(effect.code, effect.text)
      if (effect.type !== 'denied') continue
      const { name } = effect.pending
      emit({
        kind: 'join.denied',
        severity: 'notice',
        peer: peerIdFromKey(joiner),
        reason: 'join-denied',
        fields: { name },
      })
      return name
    }
    throw new Error('the ledger neither denied nor refused')
  }

  async #decide(request: ReadJoinRequest, now: number): Promise<Answer> {
    const { root, random, emit, nameTaken, bootstrap } = this.#init
    const { inviteId, joiner, name, time } = request.body
    if (this.#init.isRevoked(joiner))
      return this.#refuse(joiner, 'certificate-revoked', 'this key was revoked')
    const effects = await this.#step(
      {
        type: 'redeem',
        inviteId,
        joiner,
        name,
        time,
        signedBy: request.signedBy,
        nameTaken: (wanted) => nameTaken(wanted, joiner),
        serial: random.bytes(16),
        nonce: random.bytes(16),
      },
      now,
    )
    const peer = peerIdFromKey(joiner)
    for (const effect of effects) {
      if (effect.type === 'pending')
        emit({
          kind: 'join.pending',
          severity: 'notice',
          peer,
          text: `${name} waits for approval: kith approve ${name}`,
          fields: { name },
        })
      if (effect.type === 'refuse') {
        const { code, text } = effect
        // Said once, when it began to wait; a waiting joiner asks every few seconds.
        if (code === 'join-pending' || code === 'join-denied') return { outcome: 'refused', code, text }
        return this.#refuse(joiner, code, text)
      }
      if (effect.type !== 'admit') continue
      const { redemption, record, repeated } = effect
      const credentials = this.#credentialsOf(redemption, record)
      emit({ kind: 'join.admitted', severity: 'notice', peer, fields: { name: redemption.name, repeated } })
      return {
        outcome: 'accepted',
        root: root.bytes,
        credentials,
        bootstrap: [...bootstrap()].slice(0, JOIN_ADDRESSES_MAX),
      }
    }
    throw new Error('the ledger neither admitted nor refused')
  }

  /** The certificate behind a redemption: the same bytes whenever it is asked for. */
  #credentialsOf(redemption: Redemption, { roles, tags }: Pick<InviteRecord, 'roles' | 'tags'>): Uint8Array {
    const { root, signer, authorityCertificate } = this.#init
    const { joiner, name, serial, nonce, issuedAt } = redemption
    return issueMember({
      meshId: root.meshId,
      authoritySigner: signer,
      authorityCertificate,
      subject: joiner,
      name,
      roles,
      tags,
      serial,
      nonce,
      now: issuedAt,
    })
  }

  #refuse(joiner: Uint8Array, code: AdmissionCode, text: string): Answer {
    this.#init.emit({
      kind: 'join.refused',
      severity: 'warning',
      peer: peerIdFromKey(joiner),
      reason: code,
      text,
    })
    return { outcome: 'refused', code, text }
  }

  /** Steps one after another, in the order of asking, each on the disk before the next: the book is never ahead of the disk. */
  #step(event: LedgerEvent, now: number): Promise<LedgerEffect[]> {
    const stepped = this.#writes.then(async () => {
      if (this.#isStale) await this.#reload()
      const effects = step(this.#ledger, event, now)
      try {
        await this.#persist(effects)
      } catch (error) {
        this.#isStale = true
        throw error
      }
      return effects
    })
    this.#writes = stepped.then(
      () => undefined,
      () => undefined, // the caller has the error; the next step reads the book anew
    )
    return stepped
  }

  /** After a failed write the book in memory is ahead of the disk: the disk is what counts. */
  async #reload(): Promise<void> {
    this.#ledger = await loadLedger(this.#init.store)
    this.#isStale = false
  }

  async #persist(effects: readonly LedgerEffect[]): Promise<void> {
    const { store } = this.#init
    const sync = { sync: true }
    for (const effect of effects) {
      if (effect.type === 'persist-invite') {
        const { record } = effect
        const { approve, ...rest } = record
        const plain = { ...rest, roles: [...record.roles], tags: [...record.tags] }
        const bytes = inviteRecordFormat.encode(approve === true ? { ...plain, approve } : plain)
        await store.put(INVITE_PREFIX + toHex(record.inviteId), bytes, sync)
      } else if (effect.type === 'persist-redemption') {
        const { redemption } = effect
        await store.put(redemptionKey(redemption), redemptionFormat.encode({ ...redemption }), sync)
      } else if (effect.type === 'forget') {
        for (const redemption of effect.redemptions) await store.delete(redemptionKey(redemption))
        await store.delete(INVITE_PREFIX + toHex(effect.inviteId))
      }
    }
  }
}

function redemptionKey({ inviteId, joiner }: { inviteId: Uint8Array; joiner: Uint8Array }): string {
  return `${REDEMPTION_PREFIX}${toHex(inviteId)}/${toHex(joiner)}`
}

async function loadLedger(store: Store): Promise<InviteLedger> {
  const records = []
  for await (const [, bytes] of store.entries(INVITE_PREFIX)) records.push(inviteRecordFormat.decode(bytes))
  const redemptions = []
  for await (const [, bytes] of store.entries(REDEMPTION_PREFIX))
    redemptions.push(redemptionFormat.decode(bytes))
  return restoreLedger(records, redemptions)
}
