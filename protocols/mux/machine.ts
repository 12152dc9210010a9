import { concat, equalBytes, utf8 } from '../common/bytes.ts'
import { Channel, type ChannelOwner } from './channel.ts'
import { MuxError } from './errors.ts'
import {
  BUSY_CHANNELS,
  CHANNELS_MAX,
  FRAME_HEADER_BYTES,
  GROW_WITHIN_MS,
  GROW_WITHIN_ROUND_TRIPS,
  PROTOCOL_NAME_MAX_BYTES,
  WINDOW_POOL_BYTES,
} from './limits.ts'
import { decodeHeader, decodeProtocolName, encodeHeader, FRAME, type FrameHeader } from './wire.ts'

/** What a multiplexer needs from below and tells above. */
export interface MuxInit {
  /** True on the side that dialled: it opens odd channels. */
  readonly initiator: boolean
  /** Puts bytes into the connection, in order; what is put in one turn may leave together. For what is `late` nobody waits. */
  readonly send: (bytes: Uint8Array, late: boolean) => void
  /** False while the connection holds enough unsent bytes. */
  readonly isWritable: () => boolean
  /** Ms; only differences are used. */
  readonly now: () => number
  /** Round trip of the path as the handshake saw it, in ms. */
  readonly rttMs: number
  /** The other side opened a channel. Attach a user in the same turn or later; it must not throw. */
  readonly onChannel: (channel: Channel) => void
  /** The other side opens no more channels. */
  readonly onGoAway: () => void
  readonly channelsMax?: number
}

/** A protocol as it is on the wire, and as text. */
interface ProtocolName {
  readonly bytes: Uint8Array
  readonly name: string
}

/**
 * Many channels on one ordered connection: frames, windows, ends. Pure but for its callbacks: it holds no socket, timer or
 * clock of its own.
 */
export class Mux {
  readonly #init: MuxInit
  readonly #owner: ChannelOwner
  readonly #channels = new Map<number, Channel>()
  readonly #waiting = new Set<Channel>()
  readonly #channelsMax: number
  #counts = { ours: 0, theirs: 0 }
  #nextId: number
  #newestRemote = 0
  #poolBytes = WINDOW_POOL_BYTES
  #isClosing = false
  #failure: Error | undefined
  /** Bytes of an unfinished frame. */
  #chunks: Uint8Array[] = []
  #sizeBytes = 0
  #header: FrameHeader | undefined
  #lastName: ProtocolName = { bytes: new Uint8Array(0), name: '' }
  #lastOpened: ProtocolName = { bytes: new Uint8Array(0), name: '' }

  constructor(init: MuxInit) {
    this.#init = init
    this.#channelsMax = init.channelsMax ?? CHANNELS_MAX
    this.#nextId = init.initiator ? 1 : 2
    this.#owner = this.#createOwner(init)
  }

  /** Open channels, both sides'. */
  get channels(): Iterable<Channel> {
    return this.#channels.values()
  }

  /** How many channels are open, both sides'. */
  get channelCount(): number {
    return this.#channels.size
  }

  /** Opens a channel; data may follow at once, no answer is waited for. @throws MuxError `mux-closed`, `too-many-channels`. */
  open(protocol: string): Channel {
    if (this.#isClosing || this.#failure !== undefined)
      throw new MuxError('mux-closed', 'The connection is closed or closing')
    if (this.#counts.ours >= this.#channelsMax)
      throw new MuxError('too-many-channels', `${this.#channelsMax} channels are open on this connection`)
    const name = this.#nameBytes(protocol)
    const channel = new Channel(this.#nextId, protocol, this.#owner)
    this.#nextId += 2
    this.#counts.ours++
    this.#channels.set(channel.id, channel)
    this.#init.send(concat(encodeHeader(FRAME.open, false, name.length, channel.id), name), true)
    return channel
  }

  /** Takes the next bytes of the connection. @throws MuxError: the connection must be given up. */
  receive(bytes: Uint8Array): void {
    if (this.#failure !== undefined) return
    let rest = bytes
    while (rest.length > 0) {
      if (this.#header === undefined && this.#sizeBytes === 0 && rest.length >= FRAME_HEADER_BYTES) {
        this.#header = decodeHeader(rest)
        rest = rest.subarray(FRAME_HEADER_BYTES)
      } else if (this.#header === undefined) {
        rest = this.#collect(rest, FRAME_HEADER_BYTES)
        if (this.#sizeBytes < FRAME_HEADER_BYTES) return
        this.#header = decodeHeader(this.#collected())
      }
      rest = this.#content(this.#header, rest)
    }
  }

  /** The connection takes bytes again: those that wait go on in the order they stopped, until it is full again. */
  drained(): void {
    for (const channel of this.#waiting) {
      if (!this.#init.isWritable()) return
      this.#waiting.delete(channel)
      channel.drained()
    }
  }

  /** Opens and accepts no more channels, and says so. */
  goAway(): void {
    if (this.#isClosing) return
    this.#isClosing = true
    this.#init.send(encodeHeader(FRAME.goAway, false, 0, 0), true)
  }

  /** The connection is gone: every channel is told. */
  fail(error: Error): void {
    if (this.#failure !== undefined) return
    this.#failure = error
    this.#chunks = []
    this.#sizeBytes = 0
    const channels = Array.from(this.#channels.values()) // each removes itself
    for (const channel of channels) channel.receiveReset(error)
  }

  /** Handles a frame, or what has come of its content. Returns what is behind it. */
  #content(header: FrameHeader, bytes: Uint8Array): Uint8Array {
    switch (header.type) {
      case FRAME.data:
        return this.#data(header, bytes)
      case FRAME.open: {
        const rest = this.#collect(bytes, header.length)
        if (this.#sizeBytes === header.length) {
          this.#header = undefined
          this.#accept(header, this.#protocolName(this.#collected()))
        }
        return rest
      }
      case FRAME.window:
        this.#channels.get(header.channel)?.receiveCredit(header.length)
        break
      case FRAME.reset:
        this.#channels
          .get(header.channel)
          ?.receiveReset(new MuxError('channel-reset', 'The other side gave the channel up'))
        break
      default:
        this.#isClosing = true
        this.#init.onGoAway()
    }
    this.#header = undefined
    return bytes
  }

  /** Data is given on as it comes: a frame cut in two by the path is not collected. */
  #data(header: FrameHeader, bytes: Uint8Array): Uint8Array {
    const channel = this.#channels.get(header.channel)
    if (channel === undefined && !this.#wasOpen(header.channel))
      throw new MuxError('mux-frame', `Data for channel ${header.channel}, which was never opened`)
    const part = bytes.subarray(0, header.length)
    if (part.length > 0) channel?.receive(part)
    if (part.length < header.length) {
      this.#header = { ...header, length: header.length - part.length }
      return bytes.subarray(part.length)
    }
    this.#header = undefined
    if (header.fin) channel?.receiveFin()
    return bytes.subarray(part.length)
  }

  /** A channel that ended here may still have frames under way; one that never was may not. */
  #wasOpen(id: number): boolean {
    return this.#isOurs(id) ? id < this.#nextId : id <= this.#newestRemote
  }

  #isOurs(id: number): boolean {
    return (id % 2 === 1) === this.#init.initiator
  }

  #accept(header: FrameHeader, protocol: string): void {
    const { channel: id } = header
    if (this.#isOurs(id) || id <= this.#newestRemote)
      throw new MuxError('mux-frame', `The other side cannot open channel ${id}`)
    this.#newestRemote = id
    if (this.#isClosing || this.#counts.theirs >= this.#channelsMax) {
      this.#init.send(encodeHeader(FRAME.reset, false, 0, id), true)
      return
    }
    const channel = new Channel(id, protocol, this.#owner)
    this.#counts.theirs++
    this.#channels.set(id, channel)
    this.#init.onChannel(channel)
    if (header.fin) channel.receiveFin()
  }

  /** Most channels of a connection are of one protocol: its name is decoded once. */
  #protocolName(bytes: Uint8Array): string {
    if (!equalBytes(bytes, this.#lastName.bytes)) this.#lastName = { bytes, name: decodeProtocolName(bytes) }
    return this.#lastName.name
  }

  /** The same for those we open. */
  #nameBytes(protocol: string): Uint8Array {
    if (this.#lastOpened.name !== protocol) {
      const bytes = utf8(protocol)
      if (bytes.length > PROTOCOL_NAME_MAX_BYTES) throw new Error(`protocol name of ${bytes.length} bytes`)
      this.#lastOpened = { bytes, name: protocol }
    }
    return this.#lastOpened.bytes
  }

  #collect(bytes: Uint8Array, wanted: number): Uint8Array {
    const taken = bytes.subarray(0, wanted - this.#sizeBytes)
    if (taken.length > 0) this.#chunks.push(taken)
    this.#sizeBytes += taken.length
    return bytes.subarray(taken.length)
  }

  #collected(): Uint8Array {
    const bytes = concat(...this.#chunks)
    this.#chunks = []
    this.#sizeBytes = 0
    return bytes
  }

  #createOwner(init: MuxInit): ChannelOwner {
    return {
      get writable() {
        return init.isWritable()
      },
      now: init.now,
      growWithinMs: Math.max(GROW_WITHIN_MS, GROW_WITHIN_ROUND_TRIPS * init.rttMs),
      sendData: (channel, bytes, fin, isLate) => {
        const late = isLate || this.#channels.size > BUSY_CHANNELS
        init.send(encodeHeader(FRAME.data, fin, bytes.length, channel.id), late)
        if (bytes.length > 0) init.send(bytes, late)
      },
      sendWindow: (channel, creditBytes) =>
        init.send(encodeHeader(FRAME.window, false, creditBytes, channel.id), true),
      sendReset: (channel) => init.send(encodeHeader(FRAME.reset, false, 0, channel.id), true),
      takeFromPool: (bytes) => {
        const taken = Math.min(bytes, this.#poolBytes)
        this.#poolBytes -= taken
        return taken
      },
      waitForDrain: (channel) => this.#waiting.add(channel),
      closed: (channel) => {
        if (!this.#channels.delete(channel.id)) return
        this.#waiting.delete(channel)
        this.#poolBytes += channel.pooledBytes
        this.#counts[this.#isOurs(channel.id) ? 'ours' : 'theirs']--
      },
    }
  }
}
