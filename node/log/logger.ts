import { pino, stdTimeFunctions, type Logger } from 'pino'
import type { Config } from '../config/schema.ts'

export type { Logger } from 'pino'

/** Fields that must never reach a log, wherever they turn up. */
const SECRET_FIELDS = ['seed', 'secret', 'privateKey', 'invite', 'code', 'token', 'cookie']

/**
 * The node's logger: one event a line on stderr, JSON for machines, short text for a terminal. Events are named
 * (`peer.joined`) and carry fields; secrets are cut out by name as a second line of defence.
 */
export function createLogger(settings: Config['log'], isTerminal: boolean): Logger {
  const asText = settings.format === 'text' || (settings.format === 'auto' && isTerminal)
  const stream = { write: (line: string) => void process.stderr.write(asText ? toText(line) : line) }
  return pino(
    {
      level: settings.level,
      base: null,
      timestamp: stdTimeFunctions.isoTime,
      formatters: { level: (label) => ({ level: label }) },
      redact: { paths: SECRET_FIELDS.flatMap((name) => [name, `*.${name}`]), censor: '***' },
    },
    stream,
  )
}

function toText(line: string): string {
  const { level, time, msg, ...fields } = JSON.parse(line) as Record<string, unknown>
  const rest = Object.entries(fields).map(
    ([key, value]) => `${key}=${typeof value === 'string' ? value : JSON.stringify(value)}`,
  )
  const parts = [typeof msg === 'string' ? msg : '', ...rest].filter((part) => part !== '')
  return `${String(time).slice(11, 19)} ${String(level).padEnd(5)} ${parts.map(stripControls).join(' ')}\n`
}

/** Control bytes a peer put into a name must not move the cursor or colour the operator's terminal. */
export function stripControls(text: string): string {
  return text.replaceAll(/[\u0000-\u001f\u007f-\u009f\u200e\u200f\u202a-\u202e\u2066-\u2069]/g, '\u{FFFD}')
}
