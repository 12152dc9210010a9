import { appendFileSync, chmodSync, renameSync, statSync } from 'node:fs'
import { join } from 'node:path'
import type { Clock, EventInput } from '../../protocols/common/ports.ts'
import { LineQuota } from './line-quota.ts'
import { securityLine } from './security-line.ts'

/** The file, in the folder `logs` of the data directory. */
export const SECURITY_LOG_FILE = 'security.log'
/** Size at which the file is put aside; a line has about 200 bytes. */
export const SECURITY_LOG_BYTES_MAX = 1_048_576
/** Files put aside: `security.log.1` is the newest. With the current one 4 MiB at most. */
export const SECURITY_LOG_OLD_MAX = 3
const OWNER_ONLY = 0o600

/** What a security log needs. */
export interface SecurityLogInit {
  /** An existing folder. */
  readonly directory: string
  readonly clock: Clock
  /** Process id, for the program name in each line. */
  readonly pid: number
  /** Told about a file that cannot be written; once, until a line could be written again. */
  readonly onError: (error: unknown) => void
}

/**
 * A second, small log in the form that Fail2Ban reads safely (`bootstrap/fail2ban`): what strangers did, with the address they
 * came from. Written at once and unbuffered, so a kill loses nothing; each address has a quota, so a flood costs little.
 */
export class SecurityLog {
  readonly #init: SecurityLogInit
  readonly #file: string
  readonly #quota = new LineQuota()
  #sizeBytes: number | null = null
  #failed = false

  constructor(init: SecurityLogInit) {
    this.#init = init
    this.#file = join(init.directory, SECURITY_LOG_FILE)
  }

  /** Writes the line of an event, if it has one. Never throws. */
  record(event: EventInput): void {
    const now = this.#init.clock.now()
    const line = securityLine(event, now, this.#init.pid)
    if (line === null || !this.#quota.take(line.source, now)) return
    try {
      this.#append(`${line.text}\n`)
      this.#failed = false
    } catch (error) {
      if (!this.#failed) this.#init.onError(error)
      this.#failed = true
      this.#sizeBytes = null
    }
  }

  #append(text: string): void {
    this.#sizeBytes ??= this.#open()
    if (this.#sizeBytes > 0 && this.#sizeBytes + text.length > SECURITY_LOG_BYTES_MAX) {
      this.#rotate()
      this.#sizeBytes = this.#open()
    }
    appendFileSync(this.#file, text, { mode: OWNER_ONLY })
    this.#sizeBytes += text.length
  }

  /** Makes sure that the file is there and only for its owner; returns its size. */
  #open(): number {
    appendFileSync(this.#file, '', { mode: OWNER_ONLY })
    chmodSync(this.#file, OWNER_ONLY)
    return statSync(this.#file).size
  }

  #rotate(): void {
    for (let number = SECURITY_LOG_OLD_MAX - 1; number >= 1; number--) {
      const from = `${this.#file}.${number}`
      if (statSync(from, { throwIfNoEntry: false }) !== undefined)
        renameSync(from, `${this.#file}.${number + 1}`)
    }
    renameSync(this.#file, `${this.#file}.1`)
  }
}
