import { concat } from '../../protocols/common/bytes.ts'
import type { EventInput, Timers } from '../../protocols/common/ports.ts'
import type { AeadCipher } from '../../protocols/noise-ik/aead.ts'
import { RecordError } from '../../protocols/record/errors.ts'
import { RecordReader, type PlainRecord } from '../../protocols/record/reader.ts'
import type { RecordType } from '../../protocols/record/wire.ts'
import { RecordWriter } from '../../protocols/record/writer.ts'
import type { RotationCrypto } from '../../protocols/rotation/crypto.ts'
import { RotationDriver } from '../../protocols/rotation/driver.ts'
import type { RotationLimits } from '../../protocols/rotation/limits.ts'

/** What an endpoint stands on. */
export interface EndpointInit {
  readonly dialler: boolean
  readonly keys: { readonly write: Uint8Array; readonly read: Uint8Array; readonly root: Uint8Array }
  readonly cipher: (key: Uint8Array) => AeadCipher
  readonly crypto: RotationCrypto
  readonly limits: RotationLimits
  readonly now: () => number
  readonly after: Timers['after']
  /** Puts one sealed record on the wire. */
  readonly transmit: (frame: Uint8Array) => void
  /** False while the wire stands still. */
  readonly isWritable: () => boolean
  readonly emit: (event: EventInput) => void
  /** Nothing more is sent: the wire ends behind what was. */
  readonly cut: () => void
}

/** One side of a secured connection: real records, real rotation, and an application that only counts. */
export class Endpoint {
  readonly #init: EndpointInit
  readonly #writer: RecordWriter
  readonly #reader: RecordReader
  readonly driver: RotationDriver
  #collected: Uint8Array[] = []
  #gotConfirm = false
  /** Plaintext given to the application, one entry a record. */
  readonly received: Uint8Array[] = []
  /** How it ended; null while it lasts. `closed` is both sides' orderly end. */
  end: string | null = null
  #closedByUs = false
  #closedByPeer = false

  constructor(init: EndpointInit) {
    this.#init = init
    const { keys, cipher, dialler, crypto, limits, now, after, emit } = init
    this.#writer = new RecordWriter(cipher(keys.write), 0, (size) => new Uint8Array(size))
    this.#reader = new RecordReader(cipher(keys.read), 0)
    this.#gotConfirm = dialler
    this.driver = new RotationDriver({
      writer: this.#writer,
      reader: this.#reader,
      cipher,
      crypto,
      dialler,
      root: keys.root,
      limits,
      link: {
        get isWritable() {
          return init.isWritable()
        },
        flush: () => this.#flush(),
        send: (type, payload) => {
          this.#flush()
          this.#write(type, payload === undefined ? [] : [payload])
        },
        fail: (code) => this.fail(code),
      },
      clock: { now },
      timers: { after },
      emit,
    })
  }

  /** The dialling side's first record, which the handshake asks for. */
  confirm(): void {
    this.#write('confirm', [])
  }

  /** Collects what the application sends until the end of the turn. */
  send(bytes: Uint8Array): void {
    if (this.end !== null || this.#closedByUs) return
    this.#collected.push(bytes)
    if (this.#collected.length === 1) this.#init.after(0, () => this.#flush())
  }

  /** Sends CLOSE behind everything else. */
  finish(): void {
    if (this.end !== null || this.#closedByUs) return
    this.#flush()
    this.#write('close', [])
    this.#closedByUs = true
    this.driver.close()
    this.#init.cut()
    this.#endInOrder()
  }

  /** Bytes from the wire. */
  receive(bytes: Uint8Array): void {
    if (this.end !== null || !this.driverAllows()) return
    try {
      this.#reader.push(bytes, (record) => this.#onRecord(record))
    } catch (error) {
      if (!(error instanceof RecordError)) throw error
      this.fail(error.code)
    }
  }

  /** The wire gives nothing more. */
  onEnd(): void {
    if (!this.#closedByPeer) this.fail('truncated')
  }

  /** The connection is given up. */
  fail(code: string): void {
    if (this.end !== null) return
    this.end = code
    this.driver.close()
    this.#init.emit({ kind: 'session.failed', severity: 'alert', reason: code })
    this.#init.cut()
  }

  /** False when the keys have served out; the connection is cut then. */
  driverAllows(): boolean {
    if (this.driver.check()) return true
    this.fail('rotation-hard-limit')
    return false
  }

  #flush(): void {
    if (this.#collected.length === 0 || this.end !== null || this.#closedByUs) return
    const parts = this.#collected
    this.#collected = []
    for (const part of parts) this.#write('data', [part])
  }

  #write(type: RecordType, parts: readonly Uint8Array[]): void {
    if (this.end !== null || this.#closedByUs || !this.driverAllows()) return
    this.#init.transmit(concat(...this.#writer.seal(type, parts)))
  }

  #onRecord(record: PlainRecord): void {
    if (this.end !== null) return
    const isFirst = this.#reader.records === 1 && (record.epoch > 0 || !this.#gotConfirm)
    if (this.#closedByPeer || isFirst !== (record.type === 'confirm'))
      throw new RecordError('record-order', `a ${record.type} record does not belong here`)
    if (record.type === 'confirm') {
      if (this.#gotConfirm) this.driver.onPromoted(record.epoch)
      this.#gotConfirm = true
    }
    if (!this.driverAllows()) return
    if (record.type === 'data') this.received.push(concat(...record.parts))
    if (record.type === 'rot' || record.type === 'ack')
      this.driver.onRecord(record.type, concat(...record.parts))
    if (record.type === 'close') {
      this.#closedByPeer = true
      this.#endInOrder()
    }
  }

  #endInOrder(): void {
    if (!this.#closedByUs || !this.#closedByPeer) return
    this.end = 'closed'
  }
}
