import { Coalescer } from '../record/coalescer.ts'
import { RecordError } from '../record/errors.ts'
import { RECORD_TARGET_BYTES } from '../record/limits.ts'
import type { PlainRecord, RecordReader } from '../record/reader.ts'
import type { RecordWriter } from '../record/writer.ts'
import type { ByteTransport } from './byte-transport.ts'
import { ChannelError } from './errors.ts'
import { EARLY_MAX_BYTES, UNSENT_MAX_BYTES } from './limits.ts'

/** How a link ended, told once. */
export interface LinkEnd {
  /** `closed`: in order, or by our own abort. `truncated`: without a CLOSE record. Otherwise the code of what broke it. */
  readonly code: string
  readonly text: string
}

/** What the user of a link is told. None of these may throw. */
export interface LinkUser {
  /** Verified bytes, cut anywhere. */
  onData(bytes: Uint8Array): void
  /** More may be sent. */
  onDrain(): void
  /** Nothing comes any more. */
  onClose(error: Error | undefined, isLocal: boolean): void
}

/** What a link asks of the rotation of its keys; see `RotationDriver`. */
export interface LinkRotation {
  /** False when the keys served as long as they may: nothing more is sent or given. */
  check(): boolean
  onRecord(type: 'rot' | 'ack', payload: Uint8Array): void
  /** The first record of a new epoch was opened. */
  onPromoted(epoch: number): void
  onDrain(): void
  close(): void
}

/** What a link is made of. */
export interface LinkInit {
  readonly writer: RecordWriter
  readonly reader: RecordReader
  /** True on the side that dialled: it calls `sendConfirm`, the other side waits for it in `confirmed`. */
  readonly initiator: boolean
  /** Runs `fn` once the event loop has handed out what has come: what is sent until then leaves in one record. */
  readonly defer: (fn: () => void) => void
  /** Like `defer`, after further looks for input: what nobody waits for shares a record with what comes next. */
  readonly deferLate: (fn: () => void) => void
  readonly onEnd: (end: LinkEnd) => void
}

/** Records in both directions over a transport: collects what is sent, checks the order of what comes, closes in order. */
export class SecureLink {
  rxBytes = 0
  txBytes = 0
  readonly #transport: ByteTransport
  readonly #init: LinkInit
  readonly #coalescer = new Coalescer()
  #user: LinkUser | undefined
  #rotation: LinkRotation | undefined
  /** Came before there was a user. */
  #early: Uint8Array[] = []
  #earlyBytes = 0
  #flushScheduled = false
  #lateScheduled = false
  #state: 'awaiting-confirm' | 'open' | 'closed-by-peer'
  #closedByUs = false
  #ended = false
  #confirm: { resolve: () => void; reject: (error: Error) => void } | undefined

  constructor(transport: ByteTransport, init: LinkInit) {
    this.#transport = transport
    this.#init = init
    this.#state = init.initiator ? 'open' : 'awaiting-confirm'
    transport.use({
      onBytes: (bytes) => this.#onBytes(bytes),
      onDrain: () => {
        this.#rotation?.onDrain()
        this.#user?.onDrain()
      },
      onClose: (error, isLocal) => this.#onClose(error, isLocal),
    })
  }

  /** Whether more may be sent before `onDrain`. */
  get isWritable(): boolean {
    return this.#transport.isWritable
  }

  /** False once either side closed it. */
  get isOpen(): boolean {
    return !this.#ended && !this.#closedByUs && this.#transport.isOpen
  }

  /** Names who is told; what came before is told at once. */
  use(user: LinkUser): void {
    this.#user = user
    const early = this.#early
    this.#early = []
    for (const bytes of early) user.onData(bytes)
    if (this.#earlyBytes > EARLY_MAX_BYTES && this.#transport.isOpen) this.#transport.resume()
    this.#earlyBytes = 0
  }

  /** Lets a rotation take part. */
  attach(rotation: LinkRotation): void {
    this.#rotation = rotation
  }

  /** Proves to the other side that we are live and not a recording; the dialling side's first record. */
  sendConfirm(): void {
    this.sendRecord('confirm')
  }

  /** Resolves when the dialling side proved to be live; rejects when the link ends or `signal` aborts before. */
  confirmed(signal: AbortSignal | undefined): Promise<void> {
    if (this.#state === 'open') return Promise.resolve()
    return new Promise((resolve, reject) => {
      const onAbort = (): void => reject(new Error('no confirmation in time'))
      this.#confirm = { resolve, reject }
      signal?.addEventListener('abort', onAbort, { once: true })
      if (signal?.aborted === true) onAbort()
      else if (this.#ended) reject(new Error('closed before the session was confirmed'))
    })
  }

  /**
   * Sends `bytes`, which must not change afterwards, together with what else is sent in this turn; what is `late` may wait for
   * the next.
   */
  send(bytes: Uint8Array, late = false): void {
    // What answers come after the end have nobody to read them.
    if (this.#closedByUs || this.#ended) return
    // Before anything is taken out: a rotation that begins here sends what was collected, and its records, first.
    const fills = this.#coalescer.sizeBytes + bytes.length >= RECORD_TARGET_BYTES
    if (fills && this.#rotation?.check() === false) return
    this.txBytes += bytes.length
    for (const full of this.#coalescer.add(bytes)) this.#write('data', full)
    if (this.#coalescer.sizeBytes === 0 || this.#flushScheduled || (late && this.#lateScheduled)) return
    if (late) {
      this.#lateScheduled = true
      this.#init.deferLate(this.#flushLate)
    } else {
      this.#flushScheduled = true
      this.#init.defer(this.#flushNow)
    }
  }

  readonly #flushNow = (): void => {
    this.#flushScheduled = false
    this.flush()
  }

  readonly #flushLate = (): void => {
    this.#lateScheduled = false
    this.flush()
  }

  /** Sends a record that carries no data, behind all that was sent before. */
  sendRecord(type: 'rot' | 'ack' | 'confirm', payload?: Uint8Array): void {
    this.flush()
    this.#write(type, payload === undefined ? [] : [payload])
  }

  /** Sends what was collected now instead of at the end of the turn. */
  flush(): void {
    if (this.#coalescer.sizeBytes === 0 || !this.isOpen || this.#rotation?.check() === false) return
    const parts = this.#coalescer.flush() // empty when the rotation sent it
    if (parts.length > 0) this.#write('data', parts)
  }

  /** Sends what is waiting and then the CLOSE record, once; the transport stays open. */
  finish(): void {
    if (!this.isOpen) return
    this.flush()
    // A peer that closed reads no more: an answer would only meet a closed socket.
    if (this.#state !== 'closed-by-peer') this.#write('close', [])
    this.#closedByUs = true
    this.#rotation?.close()
  }

  /** Cuts the connection because of `error`, which is reported under its code. */
  fail(code: string, error: Error): void {
    this.#end({ code, text: error.message })
    this.#transport.abort(error)
  }

  /** Cuts the connection for a reason of our own. */
  abort(error: Error): void {
    this.fail('closed', error)
  }

  /** Stops and goes on reading. */
  pause(): void {
    this.#transport.pause()
  }

  resume(): void {
    this.#transport.resume()
  }

  #write(type: PlainRecord['type'], parts: readonly Uint8Array[]): void {
    if (!this.#transport.isOpen) return
    try {
      this.#transport.write(this.#init.writer.seal(type, parts))
    } catch (error) {
      // Nobody waits for a deferred write: an exception here would end the process (libp2p/js-libp2p#3415).
      if (this.#transport.isOpen) this.fail('internal-error', error as Error)
      else this.abort(error as Error)
    }
    // Answers to what a peer asks are not held back by its not reading them.
    if (this.#transport.unsentBytes > UNSENT_MAX_BYTES)
      this.fail(
        'peer-not-reading',
        new Error(`${this.#transport.unsentBytes} bytes wait to be read by the peer`),
      )
  }

  #onBytes(bytes: Uint8Array): void {
    if (this.#ended || this.#rotation?.check() === false) return
    try {
      this.#init.reader.push(bytes, (record) => this.#onRecord(record))
    } catch (error) {
      if (!(error instanceof RecordError) && !(error instanceof ChannelError)) throw error
      this.fail(error.code, error)
    }
  }

  #onRecord(record: PlainRecord): void {
    if (this.#ended) return
    this.#checkOrder(record)
    const isSwitch = record.type === 'confirm' && this.#state === 'open'
    if (isSwitch) this.#rotation?.onPromoted(record.epoch)
    if (this.#rotation?.check() === false) return
    switch (record.type) {
      case 'confirm':
        if (!isSwitch) this.#confirm?.resolve()
        this.#state = 'open'
        break
      case 'data':
        for (const part of record.parts) {
          if (this.#ended) return
          this.rxBytes += part.length
          this.#deliver(part)
        }
        break
      case 'close':
        this.#state = 'closed-by-peer'
        break
      default:
        this.#rotation?.onRecord(record.type, Buffer.concat(record.parts))
    }
  }

  #deliver(bytes: Uint8Array): void {
    if (this.#user !== undefined) return this.#user.onData(bytes)
    this.#early.push(bytes)
    this.#earlyBytes += bytes.length
    if (this.#earlyBytes > EARLY_MAX_BYTES) this.#transport.pause()
  }

  /** CONFIRM is the first record of each epoch, and only that; nothing follows CLOSE. */
  #checkOrder({ type }: PlainRecord): void {
    const isFirst = this.#init.reader.records === 1 && (this.#init.reader.epoch > 0 || !this.#init.initiator)
    if (this.#state === 'closed-by-peer' || isFirst !== (type === 'confirm')) {
      throw new RecordError('record-order', `A ${type} record does not belong here (${this.#state})`)
    }
  }

  #onClose(error: Error | undefined, isLocal: boolean): void {
    const isCut = error === undefined || !isLocal || 'syscall' in error
    if (this.#state !== 'closed-by-peer' && !this.#closedByUs && isCut) {
      const inside = this.#init.reader.bufferedBytes > 0 ? ' in the middle of a record' : ''
      this.#end({ code: 'truncated', text: `The connection ended without a closing record${inside}` })
    } else this.#end({ code: 'closed', text: '' })
    this.#user?.onClose(error, isLocal)
    this.#confirm?.reject(error ?? new Error('closed before the session was confirmed'))
  }

  #end(end: LinkEnd): void {
    if (this.#ended) return
    this.#ended = true
    this.#rotation?.close()
    this.#init.onEnd(end)
  }
}
