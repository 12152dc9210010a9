/** One entry of a reason table: what the code means and what a person can do about it. Rendered into REASONS.md. */
export interface Reason {
  /** One sentence, present tense, no value in it. */
  readonly summary: string
  /** What to do next; the empty string when nothing can or need be done. */
  readonly fix: string
}

/** All reason codes of one area. Codes are kebab-case, stable, never reused. */
export type ReasonTable = Readonly<Record<string, Reason>>

/**
 * The base of every expected failure: a peer, a disk or a user misbehaved. Our own bugs are plain `Error`s from
 * `assert` and stop the process. `code` is for programs, `message` for people (with the bad value), `cause` for developers.
 */
export class KithError<Code extends string = string> extends Error {
  /** Stable reason code, a key of some `ReasonTable`. */
  readonly code: Code

  constructor(code: Code, message: string, options?: { cause?: unknown }) {
    super(message, options)
    this.name = new.target.name
    this.code = code
  }
}

/** Thrown by every decoder in `protocols/`, and the only error a decoder may throw. */
export class MalformedError extends KithError<'malformed'> {
  constructor(message: string, options?: { cause?: unknown }) {
    super('malformed', message, options)
  }
}

/** Reasons every area shares. */
export const COMMON_REASONS = {
  malformed: {
    summary: 'Bytes from outside do not decode as the format they claim to be.',
    fix: 'Update both nodes to the same version; if it persists, the sender is broken or hostile.',
  },
} as const satisfies ReasonTable
