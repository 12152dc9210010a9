import { concat, utf8 } from '../../protocols/common/bytes.ts'
import { sha256 } from '../../protocols/common/signing.ts'

/** Parts of a multiaddr that say how, not where. */
export const PROTOCOLS: ReadonlySet<string> = new Set(
  (
    'ip4 ip6 ipcidr dns dns4 dns6 dnsaddr tcp udp quic quic-v1 ws wss tls sni http https webtransport webrtc ' +
    'webrtc-direct p2p p2p-circuit'
  ).split(' '),
)
const PEER_ID = /^12D3KooW[1-9A-HJ-NP-Za-km-z]{44}$/
/** From this length on a pseudonym begins with a letter, so that it reads as a name. */
const LETTERED_FROM = 4
/** Stand for characters of two, three and four bytes. */
const WIDE = ['', '', 'é', '€', '😀']

/**
 * Other words for names: of the same length in characters and in bytes, lower-case DNS labels where the name is ASCII, always the
 * same one for the same name. Nothing about a name but its length can be learned from its pseudonym: they are counted.
 */
export class Pseudonyms {
  readonly #words = new Map<string, string>()
  readonly #given = new Set<string>()
  readonly #counts = new Map<number, number>()
  readonly #salt: Uint8Array

  /** @param salt 32 random bytes that nobody keeps. */
  constructor(salt: Uint8Array) {
    this.#salt = salt
  }

  /** True for a text that has a pseudonym. */
  knows(text: string): boolean {
    return this.#words.has(text)
  }

  /** True for a text that is a pseudonym itself. */
  isWord(text: string): boolean {
    return this.#given.has(text)
  }

  /** The pseudonym of a name. */
  word(text: string): string {
    const known = this.#words.get(text)
    if (known !== undefined) return known
    let ascii = 0
    let wide = ''
    for (const character of text) {
      const sizeBytes = utf8(character).length
      if (sizeBytes === 1) ascii++
      else wide += WIDE[sizeBytes]
    }
    const word = this.#next(ascii) + wide
    this.#words.set(text, word)
    this.#given.add(word)
    return word
  }

  /** A multiaddr with its protocols, ports and peer ids, and other words for hosts. */
  address(text: string): string {
    const parts = text.split('/')
    return parts.map((part, i) => (isKept(part, parts[i - 1]) ? part : this.word(part))).join('/')
  }

  /** Bytes of the same length that tell nothing of these but whether they are the same. They are no CBOR. */
  bytes(bytes: Uint8Array): Uint8Array {
    const blocks: Uint8Array[] = [Uint8Array.of(0xff)]
    for (let n = 0; n * 32 < bytes.length; n++)
      blocks.push(sha256(this.#salt, Uint8Array.of(n & 255, n >> 8), bytes))
    return concat(...blocks).slice(0, bytes.length)
  }

  #next(length: number): string {
    if (length === 0) return ''
    const digits = length < LETTERED_FROM ? length : length - 1
    const count = this.#counts.get(length) ?? 0
    this.#counts.set(length, count + 1)
    // There are far fewer names of a length than words of it; should they end, two names share one.
    const word = (count % 36 ** Math.min(digits, 10)).toString(36).padStart(digits, '0')
    return length < LETTERED_FROM ? word : `n${word}`
  }
}

function isKept(part: string, before: string | undefined): boolean {
  if (part === '' || PROTOCOLS.has(part) || PEER_ID.test(part)) return true
  return (before === 'tcp' || before === 'udp') && /^\d{1,5}$/.test(part)
}
