import { createHash } from 'node:crypto'
import type { Clock, Random } from '../../protocols/common/ports.ts'
import type { AccessRole } from '../api/schemas.ts'
import { LOGIN_LINKS_MAX } from './limits.ts'

/** 192 bits, written base64url: not to be guessed within any time to live. */
const CODE_SIZE_BYTES = 24

/**
 * One-time login codes. Only hashes are kept, in memory: a restart voids them. Redeeming is one synchronous step, so
 * of any number of parallel requests exactly one wins.
 */
export class LoginLinks {
  readonly #pending = new Map<string, { expires: number; role: AccessRole }>()
  readonly #clock: Clock
  readonly #random: Random

  constructor(clock: Clock, random: Random) {
    this.#clock = clock
    this.#random = random
  }

  /** A fresh code; when `LOGIN_LINKS_MAX` are pending the oldest is voided. */
  mint(ttlMs: number, role: AccessRole): { code: string; expires: number } {
    const code = Buffer.from(this.#random.bytes(CODE_SIZE_BYTES)).toString('base64url')
    const expires = this.#clock.now() + ttlMs
    if (this.#pending.size >= LOGIN_LINKS_MAX) {
      const [oldest] = this.#pending.keys()
      if (oldest !== undefined) this.#pending.delete(oldest)
    }
    this.#pending.set(hash(code), { expires, role })
    return { code, expires }
  }

  /** The role the code stands for, and never again; undefined when it is spent, expired or unknown. */
  redeem(code: string): AccessRole | undefined {
    const key = hash(code)
    const link = this.#pending.get(key)
    this.#pending.delete(key)
    return link && this.#clock.now() < link.expires ? link.role : undefined
  }
}

/** Looking up by hash keeps the comparison's timing useless to a guesser. */
function hash(code: string): string {
  return createHash('sha256').update(code).digest('hex')
}
