import { createHash } from 'node:crypto'
import { equalBytes, fromHex, utf8 } from '../../protocols/common/bytes.ts'
import type { Clock, Random, Store } from '../../protocols/common/ports.ts'
import { z } from 'zod'
import { AccessRoleSchema } from '../api/schemas.ts'
import type { AccessRole, SessionRow } from '../api/schemas.ts'
import { SESSION_ABSOLUTE_MS, SESSION_IDLE_MS, SESSION_SAVE_INTERVAL_MS, SESSIONS_MAX } from './limits.ts'

const PREFIX = 'http-session/'
/** 256 bits for the cookie and for the write token. */
const SECRET_SIZE_BYTES = 32

const RecordSchema = z.strictObject({
  role: AccessRoleSchema,
  tokenHash: z.string().regex(/^[0-9a-f]{64}$/),
  createdAt: z.number(),
  lastUsedAt: z.number(),
})

/** A live session. `signal` aborts when it ends for any reason; whatever it holds open must close then. */
export interface Session {
  /** SHA-256 of the cookie's secret, hexadecimal. */
  readonly id: string
  readonly role: AccessRole
  readonly signal: AbortSignal
}

interface Entry extends Session {
  readonly tokenHash: string
  readonly createdAt: number
  lastUsedAt: number
  savedAt: number
  readonly ended: AbortController
}

/**
 * Dashboard sessions, kept on the server: the browser holds an opaque secret, the store only its hash. They end by
 * logout, by idling, after a working day, when revoked, or when a 65th logs in. Checking one is synchronous, so every
 * WebSocket message can do it; writing goes to the store behind it, failures to `onError`.
 */
export class Sessions {
  readonly #entries = new Map<string, Entry>()
  readonly #store: Store
  readonly #clock: Clock
  readonly #random: Random
  readonly #onError: (error: unknown) => void

  constructor(parts: { store: Store; clock: Clock; random: Random; onError: (error: unknown) => void }) {
    this.#store = parts.store
    this.#clock = parts.clock
    this.#random = parts.random
    this.#onError = parts.onError
  }

  /** Reads the sessions that outlived a restart. A record that does not decode is removed: its user logs in again. */
  async load(): Promise<void> {
    for await (const [key, value] of this.#store.entries(PREFIX)) {
      const record = RecordSchema.safeParse(parseJson(value))
      if (record.success) this.#add(key.slice(PREFIX.length), record.data)
      else await this.#store.delete(key)
    }
    this.sweep()
  }

  /** A new session. `secret` goes into the cookie and `token` to the tab; neither is kept. */
  create(role: AccessRole): { session: Session; secret: string; token: string } {
    this.sweep()
    while (this.#entries.size >= SESSIONS_MAX) this.#endOldest()
    const secret = this.#secret()
    const token = this.#secret()
    const now = this.#clock.now()
    const entry = this.#add(sha256Hex(secret), {
      role,
      tokenHash: sha256Hex(token),
      createdAt: now,
      lastUsedAt: now,
    })
    this.#save(entry, now)
    return { session: entry, secret, token }
  }

  /** The session of a cookie, which counts as use; undefined when there is none or it is over. */
  use(secret: string): Session | undefined {
    const entry = this.#entries.get(sha256Hex(secret))
    if (!entry || !this.check(entry)) return undefined
    this.touch(entry)
    return entry
  }

  /** Whether the session still stands; ends it when its time is up. */
  check(session: Session): boolean {
    const entry = this.#entries.get(session.id)
    if (!entry) return false
    const now = this.#clock.now()
    if (now < Math.min(entry.createdAt + SESSION_ABSOLUTE_MS, entry.lastUsedAt + SESSION_IDLE_MS)) return true
    this.end(entry.id)
    return false
  }

  /** Counts as use: the idle time starts again. */
  touch(session: Session): void {
    const entry = this.#entries.get(session.id)
    if (!entry) return
    const now = this.#clock.now()
    entry.lastUsedAt = now
    if (now - entry.savedAt >= SESSION_SAVE_INTERVAL_MS) this.#save(entry, now)
  }

  /** Whether `token` is the write token given out when this session was made; compared in constant time. */
  ownsToken(session: Session, token: string): boolean {
    const entry = this.#entries.get(session.id)
    return entry !== undefined && equalBytes(fromHex(entry.tokenHash), fromHex(sha256Hex(token)))
  }

  /** Ends a session by its id; what it holds open is closed by its signal. */
  end(id: string): void {
    const entry = this.#entries.get(id)
    if (!entry) return
    this.#entries.delete(id)
    this.#store.delete(PREFIX + id).catch(this.#onError)
    entry.ended.abort()
  }

  /** Ends every session whose time is up, so that an open socket does not outlive it unnoticed. */
  sweep(): void {
    for (const entry of this.#entries.values()) this.check(entry)
  }

  /** All sessions, newest first; ids are shortened, which is enough to point at one. */
  list(current: Session | undefined): SessionRow[] {
    this.sweep()
    return [...this.#entries.values()]
      .sort((a, b) => b.createdAt - a.createdAt)
      .map((entry) => ({
        id: entry.id.slice(0, 12),
        role: entry.role,
        createdAt: entry.createdAt,
        lastUsedAt: entry.lastUsedAt,
        expires: this.expires(entry),
        current: entry.id === current?.id,
      }))
  }

  /** When the session ends if nothing more happens, ms since the epoch. */
  expires(session: Session): number {
    const entry = this.#entries.get(session.id)
    return entry ? Math.min(entry.createdAt + SESSION_ABSOLUTE_MS, entry.lastUsedAt + SESSION_IDLE_MS) : 0
  }

  /** Ends the session whose listed id is given; false when there is none. */
  endListed(shortId: string): boolean {
    const entry = [...this.#entries.values()].find((one) => one.id.slice(0, 12) === shortId)
    if (entry) this.end(entry.id)
    return entry !== undefined
  }

  #add(id: string, record: z.infer<typeof RecordSchema>): Entry {
    const ended = new AbortController()
    const entry = { id, ...record, savedAt: record.lastUsedAt, ended, signal: ended.signal }
    this.#entries.set(id, entry)
    return entry
  }

  #endOldest(): void {
    let oldest: Entry | undefined
    for (const entry of this.#entries.values())
      if (!oldest || entry.lastUsedAt < oldest.lastUsedAt) oldest = entry
    if (oldest) this.end(oldest.id)
  }

  #save(entry: Entry, now: number): void {
    entry.savedAt = now
    const { role, tokenHash, createdAt, lastUsedAt } = entry
    this.#store
      .put(PREFIX + entry.id, utf8(JSON.stringify({ role, tokenHash, createdAt, lastUsedAt })))
      .catch(this.#onError)
  }

  #secret(): string {
    return Buffer.from(this.#random.bytes(SECRET_SIZE_BYTES)).toString('base64url')
  }
}

function sha256Hex(text: string): string {
  return createHash('sha256').update(text).digest('hex')
}

/** Undefined for what is not JSON; the schema refuses that like any other wrong record. */
function parseJson(bytes: Uint8Array): unknown {
  try {
    return JSON.parse(Buffer.from(bytes).toString('utf8'))
  } catch (error) {
    if (error instanceof SyntaxError) return undefined
    throw error
  }
}
