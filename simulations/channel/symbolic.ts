import { utf8 } from '../../protocols/common/bytes.ts'
import { NoiseError } from '../../protocols/noise-ik/errors.ts'
import type { RotationCrypto, RotationKeys } from '../../protocols/rotation/crypto.ts'
import { ACK_BYTES, ROT_BYTES, ROTATION_HEADER_BYTES } from '../../protocols/rotation/limits.ts'

/*
 * Cryptography as terms: a key is the text of how it came to be, a message is readable, and only who has the right root,
 * epoch and nonce can answer it. Two answers to one ROT give different keys, as real ephemeral keys would.
 */

const decoder = new TextDecoder()

/** The text of a key or the term of a message. */
export function termOf(bytes: Uint8Array): string {
  const end = bytes.indexOf(0)
  return decoder.decode(end === -1 ? bytes : bytes.subarray(0, end))
}

function message(term: string, length: number): Uint8Array {
  const bytes = new Uint8Array(length)
  bytes.set(utf8(term))
  return bytes
}

function keysOf(term: string, initiator: boolean): RotationKeys {
  const [i2r, r2i] = [utf8(`i2r(${term})`), utf8(`r2i(${term})`)]
  return {
    root: utf8(`root(${term})`),
    writeKey: initiator ? i2r : r2i,
    readKey: initiator ? r2i : i2r,
  }
}

/** Nonces as short text. */
export function nonceText(nonce: Uint8Array): string {
  return `${String.fromCodePoint(nonce[4] ?? 0)}${new DataView(nonce.buffer, nonce.byteOffset, 8).getUint32(0)}`
}

/**
 * The port of one side. `name` is a letter; `answers` counts the answers to each nonce and is shared by nobody else.
 * `random` tells both sides' nonces apart and gives no jitter.
 */
export function symbolicCrypto(name: string, answers: Map<string, number> = new Map()): RotationCrypto {
  const letter = name.codePointAt(0) ?? 0
  return {
    random: { bytes: (length) => new Uint8Array(length).fill(letter, 0, 1) },
    initiate(root, epoch, nonce) {
      const offer = `${termOf(root)}/${epoch}/${nonceText(nonce)}`
      return {
        message: message(offer, ROT_BYTES - ROTATION_HEADER_BYTES),
        finish(answer) {
          const term = termOf(answer)
          if (!term.startsWith(`${offer}/`))
            throw new NoiseError('decrypt-failed', `${term} answers not ${offer}`)
          return keysOf(shorten(term), true)
        },
        // The exploration walks on from one state in many ways: an offer must stay as it is.
        drop: () => undefined,
      }
    },
    respond(root, epoch, nonce, offer) {
      const wanted = `${termOf(root)}/${epoch}/${nonceText(nonce)}`
      if (termOf(offer) !== wanted)
        throw new NoiseError('decrypt-failed', `${termOf(offer)} is not ${wanted}`)
      const count = (answers.get(wanted) ?? 0) + 1
      answers.set(wanted, count)
      const term = `${wanted}/${count}`
      return {
        message: message(term, ACK_BYTES - ROTATION_HEADER_BYTES),
        keys: keysOf(shorten(term), false),
      }
    },
    forget: () => undefined,
  }
}

/** Terms would grow with each epoch; epoch, nonce and count say which one it is, since nonces do not repeat. */
function shorten(term: string): string {
  return term.split('/').slice(-3).join('/')
}
