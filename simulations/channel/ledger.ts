import type { EventInput } from '../../protocols/common/ports.ts'
import { toHex } from '../../protocols/common/bytes.ts'
import type { AeadCipher } from '../../protocols/noise-ik/aead.ts'
import type { RotationCrypto, RotationKeys } from '../../protocols/rotation/crypto.ts'
import type { KeyLife } from '../../protocols/rotation/limits.ts'

/** An invariant did not hold. */
export class Broken extends Error {}

/** Largest message of a plan: how far above a byte limit the last record may reach. */
const MESSAGE_MAX_BYTES = 40_000

/** Knows when each key of one side was derived and what it served, independently of the machine. */
export class KeyLedger {
  readonly #born = new Map<string, number>()
  readonly #hard: KeyLife
  readonly #now: () => number

  constructor(hard: KeyLife, now: () => number) {
    this.#hard = hard
    this.#now = now
  }

  /** The same port, with the time of each key noted. */
  watch(crypto: RotationCrypto): RotationCrypto {
    const note = (keys: RotationKeys): RotationKeys => {
      for (const key of [keys.writeKey, keys.readKey]) this.#born.set(toHex(key), this.#now())
      return keys
    }
    return {
      ...crypto,
      initiate: (...from) => {
        const offer = crypto.initiate(...from)
        return { ...offer, finish: (message) => note(offer.finish(message)) }
      },
      respond: (...from) => {
        const answer = crypto.respond(...from)
        note(answer.keys)
        return answer
      },
    }
  }

  /** The cipher of a key that refuses to serve longer than the hard limit. @throws Broken */
  guard(key: Uint8Array, cipher: AeadCipher): AeadCipher {
    const born = this.#born.get(toHex(key)) ?? 0
    let [records, bytes] = [0, 0]
    const serve = (parts: readonly Uint8Array[]): void => {
      if (this.#now() - born >= this.#hard.ms) throw new Broken('a key is older than its hard limit')
      if (++records > this.#hard.records) throw new Broken('a key served more records than its hard limit')
      for (const part of parts) bytes += part.length
      if (bytes > this.#hard.bytes + MESSAGE_MAX_BYTES)
        throw new Broken('a key served more bytes than its hard limit')
    }
    return {
      seal: (counter, ad, parts, target, offset) => {
        serve(parts)
        cipher.seal(counter, ad, parts, target, offset)
      },
      sealPieces: (counter, ad, parts) => {
        serve(parts)
        return cipher.sealPieces(counter, ad, parts)
      },
      open: (counter, ad, parts) => {
        serve(parts)
        return cipher.open(counter, ad, parts)
      },
    }
  }
}

/** Reads the events of one side and checks that each rotation it started comes to a told end. */
export class EventLedger {
  readonly counts = new Map<string, number>()
  readonly #open = new Map<'own' | 'peer', number>()
  readonly codes: string[] = []

  take({ kind, reason, fields }: EventInput): void {
    const name = reason === undefined ? kind : `${kind} ${reason}`
    this.counts.set(name, (this.counts.get(name) ?? 0) + 1)
    if (reason !== undefined) this.codes.push(reason)
    const epoch = Number(fields?.['epoch'] ?? 0)
    switch (kind) {
      case 'rotation.start': {
        const side = fields?.['reason'] === 'peer' ? 'peer' : 'own'
        if (side === 'own' && this.#open.has('own'))
          throw new Broken('a rotation started before the last one came to an end')
        this.#open.set(side, epoch)
        break
      }
      case 'rotation.done':
        this.#open.clear()
        break
      case 'rotation.glare':
        if (fields?.['won'] === false) this.#open.delete('own')
        break
      case 'rotation.failed':
        if (reason === 'rotation-unconfirmed') this.#open.delete('peer')
        else if (reason === 'rotation-timeout') this.#open.delete('own')
        else this.#open.clear()
        break
    }
  }

  /** @throws Broken when a rotation neither ended nor failed in the log. */
  close(): void {
    const [left] = this.#open.values()
    if (left !== undefined) throw new Broken(`nothing tells how the rotation to epoch ${left} ended`)
  }
}
