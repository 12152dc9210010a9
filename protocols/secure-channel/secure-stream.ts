import type { AbortOptions, MessageStream, StreamCloseEvent, StreamMessageEvent } from '@libp2p/interface'
import { AbstractMessageStream, type SendResult } from '@libp2p/utils'
import { Uint8ArrayList } from 'uint8arraylist'
import { RecordError } from '../record/errors.ts'
import { sendBytes } from './frames.ts'
import { Coalescer, type PlainRecord, type RecordReader, type RecordWriter } from '../record/machine.ts'

/** How a secured stream ended, told once. */
export interface StreamEnd {
  /** `closed`: in order, or by our own abort. `truncated`: without a CLOSE record. Otherwise the code of the record error. */
  readonly code: 'closed' | 'truncated' | RecordError['code']
  readonly text: string
}

/** What a secured stream is made of. */
export interface SecureStreamInit {
  readonly writer: RecordWriter
  readonly reader: RecordReader
  /** True on the side that dialled: it calls `sendConfirm`, the other side waits for it in `confirmed`. */
  readonly initiator: boolean
  /** Runs `fn` before the event loop turns (a microtask). Nothing may be held back longer: see `Coalescer`. */
  readonly defer: (fn: () => void) => void
  readonly onEnd: (end: StreamEnd) => void
}

/**
 * The record layer as a libp2p MessageStream around the raw one. Forwards message, close, drain and remoteCloseWrite (writes
 * wedge otherwise: libp2p/js-libp2p#3551).
 */
export class SecureStream extends AbstractMessageStream {
  rxBytes = 0
  txBytes = 0
  readonly #raw: MessageStream
  readonly #init: SecureStreamInit
  readonly #coalescer = new Coalescer()
  #flushScheduled = false
  #state: 'awaiting-confirm' | 'open' | 'closed-by-peer'
  #closedByUs = false
  #ended = false
  #onConfirm: (() => void) | undefined

  constructor(raw: MessageStream, init: SecureStreamInit) {
    super({
      log: raw.log.newScope('kith'),
      inactivityTimeout: raw.inactivityTimeout,
      maxReadBufferLength: raw.maxReadBufferLength,
      direction: raw.direction,
    })
    this.#raw = raw
    this.#init = init
    this.#state = init.initiator ? 'open' : 'awaiting-confirm'
    raw.addEventListener('message', (event) => this.#onBytes(event))
    raw.addEventListener('close', (event) => this.#onRawClose(event))
    raw.addEventListener('drain', () => this.safeDispatchEvent('drain'))
    raw.addEventListener('remoteCloseWrite', () => this.onRemoteCloseWrite())
  }

  /** Proves to the other side that we are live and not a recording; the dialling side's first record. */
  sendConfirm(): void {
    sendBytes(this.#raw, this.#init.writer.seal('confirm', []))
  }

  /** Resolves when the dialling side proved to be live; rejects when the stream ends or `signal` aborts before. */
  confirmed(signal: AbortSignal | undefined): Promise<void> {
    return new Promise((resolve, reject) => {
      const settle = (): void => {
        this.removeEventListener('close', onClose)
        signal?.removeEventListener('abort', onAbort)
      }
      const onClose = (event: StreamCloseEvent): void => {
        settle()
        reject(event.error ?? new Error('closed before the session was confirmed'))
      }
      const onAbort = (): void => {
        settle()
        reject(new Error('no confirmation in time'))
      }
      this.addEventListener('close', onClose)
      signal?.addEventListener('abort', onAbort)
      this.#onConfirm = () => {
        settle()
        resolve()
      }
      if (signal?.aborted === true) onAbort()
    })
  }

  /**
   * Sends what is waiting and then the CLOSE record, once; the raw stream stays open. Whatever is sent afterwards is dropped.
   * Gives up on the record, without an error, when `options.signal` aborts or the stream ends meanwhile.
   */
  async finish(options?: AbortOptions): Promise<void> {
    if (this.writeBufferLength > 0) await this.#idle(options?.signal)
    if (this.#closedByUs || this.status !== 'open' || this.#raw.status !== 'open') return
    this.#flush()
    this.#closedByUs = true
    this.#raw.send(this.#init.writer.seal('close', []))
  }

  override sendData(data: Uint8ArrayList): SendResult {
    // The muxer is closed by now: only its answers to late pings come here.
    if (this.#closedByUs) return { sentBytes: data.byteLength, canSendMore: true }
    this.txBytes += data.byteLength
    let canSendMore = true
    for (const part of data) {
      for (const full of this.#coalescer.add(part))
        canSendMore = this.#raw.send(this.#init.writer.seal('data', full))
    }
    if (this.#coalescer.sizeBytes > 0 && !this.#flushScheduled) {
      this.#flushScheduled = true
      this.#init.defer(() => this.#flushSoon())
    }
    return { sentBytes: data.byteLength, canSendMore: canSendMore && !this.#raw.writableNeedsDrain }
  }

  override async close(options?: AbortOptions): Promise<void> {
    await this.finish(options)
    await this.#raw.close(options)
  }

  override sendReset(error: Error): void {
    this.#end({ code: 'closed', text: 'aborted on this side' })
    this.#raw.abort(error)
  }

  override sendPause(): void {
    this.#raw.pause()
  }

  override sendResume(): void {
    // `resume()` delivers what waited before it calls this; a consumer that paused again meanwhile must stay paused.
    if (this.readStatus !== 'paused') this.#raw.resume()
  }

  #flushSoon(): void {
    this.#flushScheduled = false
    try {
      this.#flush()
    } catch (error) {
      // Nobody waits for a deferred flush: an exception here would end the process (libp2p/js-libp2p#3415).
      this.abort(error instanceof Error ? error : new Error(String(error)))
    }
  }

  #flush(): void {
    if (this.#coalescer.sizeBytes === 0 || this.#closedByUs || this.#raw.status !== 'open') return
    if (!this.#raw.send(this.#init.writer.seal('data', this.#coalescer.flush())))
      this.writableNeedsDrain = true
  }

  /** Resolves once nothing waits in the write buffer, or when waiting became pointless. */
  #idle(signal: AbortSignal | undefined): Promise<void> {
    return new Promise((resolve) => {
      const done = (): void => {
        this.removeEventListener('idle', done)
        this.removeEventListener('close', done)
        signal?.removeEventListener('abort', done)
        resolve()
      }
      this.addEventListener('idle', done)
      this.addEventListener('close', done)
      signal?.addEventListener('abort', done)
      if (signal?.aborted === true) done()
    })
  }

  #onBytes(event: StreamMessageEvent): void {
    if (this.#ended) return
    try {
      const chunks = event.data instanceof Uint8Array ? [event.data] : event.data
      for (const chunk of chunks) this.#init.reader.push(chunk, (record) => this.#onRecord(record))
    } catch (error) {
      if (!(error instanceof RecordError)) throw error
      this.#end({ code: error.code, text: error.message })
      this.abort(error)
    }
  }

  #onRecord(record: PlainRecord): void {
    if (this.#ended) return
    if (
      this.#state === 'closed-by-peer' ||
      (this.#state === 'awaiting-confirm') !== (record.type === 'confirm')
    ) {
      throw new RecordError('record-order', `A ${record.type} record does not belong here (${this.#state})`)
    }
    switch (record.type) {
      case 'confirm':
        this.#state = 'open'
        this.#onConfirm?.()
        break
      case 'data': {
        const data = new Uint8ArrayList(...record.parts)
        this.rxBytes += data.byteLength
        this.onData(data)
        break
      }
      case 'close':
        this.#state = 'closed-by-peer'
        break
    }
  }

  #onRawClose(event: StreamCloseEvent): void {
    const cut = event.error === undefined || event.local !== true || 'syscall' in event.error
    if (this.#state !== 'closed-by-peer' && !this.#closedByUs && cut) {
      const inside = this.#init.reader.bufferedBytes > 0 ? ' in the middle of a record' : ''
      this.#end({ code: 'truncated', text: `The connection ended without a closing record${inside}` })
    } else {
      this.#end({ code: 'closed', text: '' })
    }
    if (event.error === undefined) this.onTransportClosed()
    else if (event.local === true) this.abort(event.error)
    else this.onRemoteReset()
  }

  #end(end: StreamEnd): void {
    if (this.#ended) return
    this.#ended = true
    this.#init.onEnd(end)
  }
}
