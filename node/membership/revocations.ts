import { cborFormat, row } from '../../protocols/common/format.ts'
import { toHex } from '../../protocols/common/bytes.ts'
import { MalformedError } from '../../protocols/common/errors.ts'
import { peerIdFromKey } from '../../protocols/common/peer-id.ts'
import type { EmitEvent, Store, Timers } from '../../protocols/common/ports.ts'
import { AdmissionError } from '../../protocols/admission/errors.ts'
import { RevocationSet, type Revocation, type Taken } from '../../protocols/admission/revocation.ts'
import type { Root } from '../../protocols/admission/root.ts'
import { labelSchema } from '../../protocols/admission/wire.ts'
import type { MeshNode } from '../transport/mesh-node.ts'
import type { Gatekeeper } from './gatekeeper.ts'

/** Where membership keeps the revocations themselves. */
const REVOCATION_PREFIX = 'rev/'
/** What this node knew of who was revoked: the member table forgets it. */
const NAME_PREFIX = 'revoked-name/'
const nameFormat = cborFormat('name of a revoked member', row({ name: labelSchema }), 80)
/** Connections end so long after the news, which go over them: whoever was revoked learns why. Rights end at once. */
const CUT_DELAY_MS = 100

/** What a node's revocation set needs. */
export interface RevocationsInit {
  readonly root: Root
  readonly store: Store
  readonly timers: Timers
  readonly emit: EmitEvent
  /** The name a member has, for people. */
  readonly nameOf: (peerId: string) => string | undefined
}

/** A revocation as people see it. */
export interface RevokedRow {
  readonly id: string
  readonly kind: 'member' | 'authority'
  readonly name: string | null
  readonly reason: string
  /** ms. */
  readonly at: number
  /** Peer id of the authority that signed it, or a root key's. */
  readonly by: string
}

/** The revocation set of a running node. Membership spreads and stores it; names, events and cut connections are kept here. */
export class Revocations {
  readonly set: RevocationSet
  readonly #init: RevocationsInit
  readonly #names = new Map<string, string>()
  readonly #writes = new Set<Promise<void>>()
  readonly #listeners = new Set<() => void>()

  private constructor(init: RevocationsInit) {
    this.#init = init
    this.set = new RevocationSet({ root: init.root, taken: (outcome) => this.#taken(outcome) })
  }

  /** Reads what was kept, before the first handshake; what is damaged membership drops. */
  static async open(init: RevocationsInit): Promise<Revocations> {
    const revocations = new Revocations(init)
    for await (const [, bytes] of init.store.entries(REVOCATION_PREFIX)) revocations.set.restore(bytes)
    for await (const [key, bytes] of init.store.entries(NAME_PREFIX)) {
      const id = key.slice(NAME_PREFIX.length)
      try {
        revocations.#names.set(id, nameFormat.decode(bytes).name)
      } catch (error) {
        if (!(error instanceof MalformedError)) throw error
        await init.store.delete(key)
      }
    }
    return revocations
  }

  /** Calls back soon after each revocation that was taken. */
  onChange(listener: () => void): void {
    this.#listeners.add(listener)
  }

  /** For people, newest last. */
  rows(): RevokedRow[] {
    const rows = this.set.entries().map(({ body }) => {
      const id = peerIdFromKey(body.key)
      const { kind, reason, issuedAt: at, issuer } = body
      return { id, kind, reason, at, by: peerIdFromKey(issuer), name: this.#names.get(id) ?? null }
    })
    return rows.sort((a, b) => a.at - b.at)
  }

  /** Resolves when all names are on the disk. */
  async flush(): Promise<void> {
    await Promise.all(this.#writes)
  }

  #taken(outcome: Taken): void {
    const { timers } = this.#init
    if (outcome.outcome === 'full') return
    this.#remember(outcome.revocation)
    for (const listener of this.#listeners) timers.after(CUT_DELAY_MS, listener)
  }

  #remember({ body }: Revocation): void {
    const { store, emit, nameOf } = this.#init
    const id = peerIdFromKey(body.key)
    const name = nameOf(id)
    if (name !== undefined && name !== this.#names.get(id)) {
      this.#names.set(id, name)
      this.#write(store.put(NAME_PREFIX + id, nameFormat.encode({ name })))
    }
    if (body.kind !== 'authority') return
    emit({
      kind: 'authority.cut',
      severity: 'warning',
      peer: id,
      text: `${name ?? id} is no authority any more${body.reason === '' ? '' : `: ${body.reason}`}`,
      fields: { root: toHex(body.issuer).slice(0, 8), from: body.from },
    })
  }

  #write(work: Promise<void>): void {
    const followed = work
      .catch((error: unknown) => {
        const text = error instanceof Error ? error.message : String(error)
        this.#init.emit({ kind: 'revocation.store-failed', severity: 'warning', text })
      })
      .finally(() => this.#writes.delete(followed))
    this.#writes.add(followed)
  }
}

/** Ends every connection to a member that was revoked, and with it all that runs over it. */
export function cutConnections(network: Pick<MeshNode, 'getConnections'>, gatekeeper: Gatekeeper): void {
  for (const connection of network.getConnections())
    if (gatekeeper.isCut(connection.remotePeer.toString()))
      connection.abort(new AdmissionError('certificate-revoked', 'the member was revoked'))
}
