import type { EmitEvent, Random, Timers } from '../../protocols/common/ports.ts'
import type { VerifiedEntry } from '../../protocols/registry/entry.ts'
import { RegistryError } from '../../protocols/registry/errors.ts'
import { mergeEntries } from '../../protocols/registry/merge.ts'
import { recordKey, type RecordCopies } from '../../protocols/registry/record-copies.ts'
import { entryFormat, type MemberEntry } from '../../protocols/registry/wire.ts'
import type { MeshNode } from './mesh-node.ts'
import type { RecordDatastore } from './record-datastore.ts'

/** A change waits so long for others: a start announces addresses, services and health one after another. */
const PUT_DELAY_MS = 5000
/** A put or a look-up dials peers, and one that is away takes a dial's time: nobody waits longer for either. */
const OPERATION_TIMEOUT_MS = 5000
/** The copies are put again so often, a fifth earlier or later, onto the nodes that are nearest by then. */
const REPUBLISH_MS = 8 * 3_600_000
/** A copy nobody put again for so long has missed two rounds; its lease is over. */
const COPY_LIFETIME_MS = 25 * 3_600_000
/** Ended copies are looked for so often. */
const SWEEP_MS = 3_600_000
/** Copies that are compared before an answer counts: a single one may be the one a liar kept back. */
const COPIES_COMPARED = 3

/** What the record store is built from. */
export interface RecordStoreInit {
  readonly network: Pick<MeshNode, 'services'>
  readonly datastore: RecordDatastore
  readonly copies: RecordCopies
  readonly selfId: string
  /** This node's newest registration with its credentials. */
  readonly ownEntry: () => MemberEntry | undefined
  readonly timers: Timers
  readonly random: Random
  readonly emit: EmitEvent
}

/** Copies of registrations in the DHT: puts our own, finds others', keeps those put here no longer than they stand. */
export class RecordStore {
  readonly #init: RecordStoreInit
  readonly #running = new Set<Promise<void>>()
  readonly #stopped = new AbortController()
  #cancelPut: (() => void) | undefined
  #cancelSweep: (() => void) | undefined
  #isPutSoon = false
  #failed = false

  constructor(init: RecordStoreInit) {
    this.#init = init
  }

  /** Puts our registration soon, and again as long as we run. */
  start(): void {
    this.changed()
    this.#cancelSweep = this.#init.timers.every(SWEEP_MS, () =>
      this.#track(this.#init.datastore.sweep(COPY_LIFETIME_MS)),
    )
  }

  /** Our registration changed: its copies follow within seconds. */
  changed(): void {
    if (this.#stopped.signal.aborted || this.#isPutSoon) return
    this.#isPutSoon = true
    this.#putAfter(PUT_DELAY_MS)
  }

  /**
   * Looks a member's registration up among the copies, for when the member table does not have it. Resolves with the newest
   * of the first copies that hold, undefined when none was found in time.
   */
  async find(peerId: string, signal?: AbortSignal): Promise<VerifiedEntry | undefined> {
    const enough = new AbortController()
    let best: VerifiedEntry | undefined
    let compared = 0
    const unwatch = this.#init.copies.watch((id, entry) => {
      if (id !== peerId) return
      best = best === undefined ? entry : mergeEntries(best, entry).result
      if (++compared >= COPIES_COMPARED) enough.abort()
    })
    try {
      await this.#query(
        (options) => this.#init.network.services.dht.get(recordKey(peerId), options),
        signal === undefined ? [enough.signal] : [enough.signal, signal],
      )
    } finally {
      unwatch()
    }
    return best
  }

  /** Ends what is under way. */
  async stop(): Promise<void> {
    this.#cancelPut?.()
    this.#cancelSweep?.()
    this.#stopped.abort()
    await Promise.all(this.#running)
  }

  #putAfter(delayMs: number): void {
    this.#cancelPut?.()
    this.#cancelPut = this.#init.timers.after(delayMs, () => {
      this.#isPutSoon = false
      this.#putAfter(REPUBLISH_MS * (0.8 + 0.4 * this.#fraction()))
      this.#track(this.#put())
    })
  }

  async #put(): Promise<void> {
    const entry = this.#init.ownEntry()
    if (entry === undefined) return
    const key = recordKey(this.#init.selfId)
    const value = entryFormat.encode(entry)
    const { dht } = this.#init.network.services
    let failure: Error | undefined
    try {
      // The library asks the validator about what others put only: nobody may put an older one over our own either.
      this.#init.copies.validate(key, value)
      failure = await this.#query((options) => dht.put(key, value, options), [])
    } catch (error) {
      // Our own certificate lapsed, or others filled the memory for copies.
      if (!(error instanceof RegistryError)) throw error
      failure = error
    }
    // Told once until it works again: a node that is alone cannot put anything anywhere, and that is no trouble.
    if (failure !== undefined && !this.#failed) {
      this.#init.emit({
        kind: 'registry.copy-failed',
        severity: 'notice',
        reason: 'copies-unreachable',
        text: `Our registration could not be copied into the DHT: ${failure.message}`,
      })
    }
    this.#failed = failure !== undefined
  }

  /**
   * Runs a query of the library to its end. It throws for whatever a single peer does wrong (a refused dial, a copy it does not
   * take, a correction that fails), which is an answer here and no failure of the query's other results.
   */
  async #query(
    run: (options: { signal: AbortSignal }) => AsyncIterable<unknown>,
    signals: readonly AbortSignal[],
  ): Promise<Error | undefined> {
    const timeout = AbortSignal.timeout(OPERATION_TIMEOUT_MS)
    const signal = AbortSignal.any([this.#stopped.signal, timeout, ...signals])
    try {
      for await (const event of run({ signal })) void event
      return undefined
    } catch (error) {
      return signal.aborted && !timeout.aborted ? undefined : (error as Error)
    }
  }

  #track(work: Promise<void>): void {
    const tracked = work.finally(() => this.#running.delete(tracked))
    this.#running.add(tracked)
  }

  /** 0 to 1. */
  #fraction(): number {
    return (this.#init.random.bytes(1)[0] ?? 0) / 255
  }
}
