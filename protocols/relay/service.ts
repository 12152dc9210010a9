import { MalformedError } from '../common/errors.ts'
import { firstFrame, FirstFrameReader } from '../common/first-frame.ts'
import { keyFromPeerId, peerIdFromKey } from '../common/peer-id.ts'
import type { Clock, EmitEvent, Timers } from '../common/ports.ts'
import { keptFew, type ByteChannel } from '../mux/channel.ts'
import { admitCircuit, createRelayTable, endCircuit, isNews, reserve, unreserve } from './admission.ts'
import { makeCircuit } from './circuit.ts'
import { RelayError, type RelayCode } from './errors.ts'
import type { Joined } from './join.ts'
import {
  CONNECT_MS,
  FIRST_FRAME_MS,
  LOAD_INTERVAL_MS,
  REFUSED_LINGER_MS,
  RELAY_FRAME_BYTES_MAX,
  RELAY_VERSION,
} from './limits.ts'
import { answerFormat, askFormat, incomingFormat, RELAY_KIND, type RelayAnswer } from './wire.ts'

/** What a relay runs on. */
export interface RelayServiceInit {
  /** Peer id of this node. */
  readonly selfId: string
  /** Whether it relays at all. */
  readonly isOn: boolean
  /** A channel for `/circuit/1` on a direct connection to the member, which may have to be made. Rejects when there is none. */
  readonly openCircuit: (peerId: string) => Promise<ByteChannel>
  /** Address at which this node sees a member; null when it has no direct connection to it. */
  readonly ipOf: (peerId: string) => Uint8Array | null
  /** Never goes back. */
  readonly clock: Clock
  readonly timers: Timers
  readonly emit: EmitEvent
}

/** How busy a relay is. */
export interface RelayLoad {
  readonly reservations: number
  readonly circuits: number
  readonly bytesPerSecond: number
  /** Carried since the start. */
  readonly bytes: number
}

/**
 * Carries bytes between members that cannot reach each other. What it carries is encrypted between these two; it sees who
 * speaks to whom and how much. Only members get here: a channel exists on secured connections alone.
 */
export class RelayService {
  readonly #init: RelayServiceInit
  readonly #table = createRelayTable()
  readonly #circuits = new Set<Joined>()
  readonly #holders = new Set<ByteChannel>()
  /** Of circuits that ended. */
  #endedBytes = 0
  #measured = { at: 0, bytes: 0, perSecond: 0 }
  readonly #stopLoad: () => void

  constructor(init: RelayServiceInit) {
    this.#init = init
    this.#measured.at = init.clock.now()
    this.#stopLoad = init.timers.every(LOAD_INTERVAL_MS, () => this.#tellLoad())
  }

  /** How busy it is now. */
  get load(): RelayLoad {
    return {
      reservations: this.#table.reserved.size,
      circuits: this.#table.circuits,
      bytesPerSecond: this.#measured.perSecond,
      bytes: this.#bytes(),
    }
  }

  /** Whether the member holds a reservation here: its connection is needed. */
  holds(peerId: string): boolean {
    return this.#table.reserved.has(peerId)
  }

  /** Takes a channel a member opened; `isRelayed`: over a connection that goes through a relay itself. */
  serve(channel: ByteChannel, peerId: string, isRelayed: boolean): void {
    const reader = new FirstFrameReader('Relay request', RELAY_FRAME_BYTES_MAX)
    const cancel = this.#init.timers.after(FIRST_FRAME_MS, () => channel.reset())
    channel.use({
      onData: (bytes) => {
        try {
          const frame = reader.push(bytes)
          if (frame === undefined) return
          cancel()
          const ask = askFormat.decode(frame.body)
          channel.consumed(frame.frameBytes)
          if (isRelayed) this.#refuse(channel, 'relay-nested')
          else if (!this.#init.isOn) this.#refuse(channel, 'relay-off')
          else if (ask.kind === RELAY_KIND.reserve) this.#reserve(channel, peerId)
          else void this.#connect(channel, peerId, peerIdFromKey(ask.target), frame.rest)
        } catch (error) {
          if (!(error instanceof MalformedError)) throw error
          cancel()
          channel.reset()
          this.#report(peerId, 'relay-malformed', error.message)
        }
      },
      onEnd: () => {
        cancel()
        channel.reset()
      },
      onReset: cancel,
      onDrain: () => undefined,
    })
  }

  /** Ends every reservation and circuit. */
  stop(): void {
    this.#stopLoad()
    for (const circuit of this.#circuits) circuit.cut()
    for (const channel of this.#holders) channel.reset()
    this.#holders.clear()
  }

  #reserve(channel: ByteChannel, peerId: string): void {
    const code = reserve(this.#table, peerId, this.#init.clock.now())
    if (code !== null) {
      if (code === 'relay-flood') this.#report(peerId, code, 'asks for reservations too often')
      return this.#refuse(channel, code)
    }
    this.#holders.add(channel)
    const { circuits, bytesPerSecond } = this.load
    answer(channel, { kind: RELAY_KIND.reserved, circuits, bytesPerSecond })
    this.#init.emit({ kind: 'relay.reserved', severity: 'info', peer: peerId })
    const ended = (): void => {
      if (!this.#holders.delete(channel)) return
      unreserve(this.#table, peerId)
      channel.reset()
    }
    // Nothing follows a RESERVE; the channel itself is the reservation.
    channel.use({ onData: ended, onEnd: ended, onReset: ended, onDrain: () => undefined })
  }

  async #connect(channel: ByteChannel, source: string, target: string, first: Uint8Array): Promise<void> {
    const { clock } = this.#init
    if (target === this.#init.selfId || target === source) return this.#refuse(channel, 'relay-target-away')
    const code = admitCircuit(this.#table, source, target, clock.now())
    if (code !== null) {
      if (code === 'relay-flood')
        this.#report(source, code, `asks for connections too often, now to ${target}`)
      return this.#refuse(channel, code)
    }
    let waiting = first.length > 0 ? [first] : []
    const gone = { isGone: false, hasEnded: false }
    channel.use({
      onData: (bytes) => void (waiting = keptFew(waiting, bytes)),
      onEnd: () => (gone.hasEnded = true),
      onReset: () => (gone.isGone = true),
      onDrain: () => undefined,
    })
    let onward: ByteChannel
    try {
      onward = await this.#open(target, source)
    } catch (error) {
      endCircuit(this.#table, source, target)
      // Whoever asked is told why; here it is no news that a member is away.
      if (!gone.isGone) this.#refuse(channel, error instanceof RelayError ? error.code : 'relay-target-away')
      return
    }
    if (gone.isGone || gone.hasEnded) {
      onward.reset()
      endCircuit(this.#table, source, target)
      if (!gone.isGone) this.#refuse(channel, 'relay-target-away')
      return
    }
    this.#join(channel, onward, waiting, { source, target })
  }

  #join(
    channel: ByteChannel,
    onward: ByteChannel,
    waiting: readonly Uint8Array[],
    { source, target }: { source: string; target: string },
  ): void {
    const { timers, ipOf } = this.#init
    const circuit = makeCircuit(channel, onward, waiting, timers, {
      answered: () => answer(channel, { kind: RELAY_KIND.connected, at: ipOf(target) }),
      refused: (code) => this.#refuse(channel, code),
      over: (ended) => {
        endCircuit(this.#table, source, target)
        if (ended === null) return
        this.#circuits.delete(ended)
        this.#endedBytes += ended.bytes
      },
    })
    if (circuit !== null) this.#circuits.add(circuit)
  }

  async #open(target: string, source: string): Promise<ByteChannel> {
    const { timers, openCircuit, ipOf } = this.#init
    let isLate = false
    let cancel = (): void => undefined
    const late = new Promise<never>((_, reject) => {
      cancel = timers.after(CONNECT_MS, () => {
        isLate = true
        reject(new RelayError('relay-timeout', `no connection to ${target} in time`))
      })
    })
    const opening = openCircuit(target).then((channel) => {
      if (isLate) channel.reset()
      return channel
    })
    try {
      const channel = await Promise.race([opening, late])
      const incoming = { version: RELAY_VERSION, source: keyFromPeerId(source), at: ipOf(source) } as const
      channel.write(firstFrame(incomingFormat.encode({ kind: RELAY_KIND.incoming, ...incoming })))
      return channel
    } finally {
      cancel()
    }
  }

  #refuse(channel: ByteChannel, code: RelayCode): void {
    answer(channel, { kind: RELAY_KIND.refused, code })
    channel.end()
    const cancel = this.#init.timers.after(REFUSED_LINGER_MS, () => channel.reset())
    channel.use({ onData: () => undefined, onEnd: cancel, onReset: cancel, onDrain: () => undefined })
  }

  #tellLoad(): void {
    const now = this.#init.clock.now()
    const bytes = this.#bytes()
    const seconds = Math.max(0.001, (now - this.#measured.at) / 1000)
    const perSecond = Math.round((bytes - this.#measured.bytes) / seconds)
    const hasChanged = perSecond !== this.#measured.perSecond
    this.#measured = { at: now, bytes, perSecond }
    if (!hasChanged) return
    const { circuits, bytesPerSecond } = this.load
    for (const channel of this.#holders) answer(channel, { kind: RELAY_KIND.load, circuits, bytesPerSecond })
  }

  #bytes(): number {
    let bytes = this.#endedBytes
    for (const circuit of this.#circuits) bytes += circuit.bytes
    return bytes
  }

  #report(peer: string, reason: RelayCode, text: string): void {
    if (!isNews(this.#table, peer, reason, this.#init.clock.now())) return
    this.#init.emit({ kind: 'relay.refused', severity: 'warning', peer, reason, text })
  }
}

function answer(channel: ByteChannel, message: RelayAnswer): void {
  channel.write(firstFrame(answerFormat.encode(message)))
}
