import type { Effect } from './machine.ts'
import { KIND } from './wire.ts'

/** Frames that carry records hold names; of others every byte counts. The kind is a frame's second byte, behind CBOR's array. */
const WITH_RECORDS: ReadonlySet<number> = new Set([KIND.hello, KIND.records, KIND.difference])

/** FNV-1a, 32 bits, over effects, leaving out what a recording made anonymous holds otherwise: names, addresses, texts, signatures. */
export class EffectSum {
  #value = 0x811c9dc5

  get value(): number {
    return this.#value >>> 0
  }

  add(effect: Effect): void {
    this.#text(effect.type)
    switch (effect.type) {
      case 'send':
        this.#text(effect.peer)
        return this.#frame(effect.frame)
      case 'close':
        this.#text(effect.peer)
        return this.#text(effect.code)
      case 'store-incarnation':
        return this.#text(String(effect.incarnation))
      case 'store-entry':
      case 'delete-entry':
      case 'changed':
        return this.#text(effect.id)
      case 'store-revocation':
      case 'delete-revocation':
        return this.#word(effect.bytes.length)
      case 'revoked':
        return this.#bytes(effect.key)
      case 'emit':
        this.#text(effect.event.kind)
        this.#text(effect.event.peer ?? '')
        return this.#text(effect.event.reason ?? '')
    }
  }

  #frame(bytes: Uint8Array): void {
    this.#word(bytes.length)
    if (WITH_RECORDS.has(bytes[1] ?? 0)) this.#word(bytes[1] ?? 0)
    else this.#bytes(bytes)
  }

  #text(text: string): void {
    for (let i = 0; i < text.length; i++) this.#word(text.charCodeAt(i))
    this.#word(0)
  }

  #bytes(bytes: Uint8Array): void {
    for (let i = 0; i < bytes.length; i++) this.#word(bytes[i] as number)
  }

  #word(word: number): void {
    this.#value = Math.imul(this.#value ^ word, 0x01000193)
  }
}
