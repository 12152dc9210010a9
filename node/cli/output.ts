import { InvalidArgumentError } from 'commander'
import { stripControls } from '../log/logger.ts'

/** How a command shows its result. */
export interface Output {
  /** One JSON document with `--json`, else the text (peer-chosen control bytes cut out). */
  show(value: unknown, text: () => string): void
  /** A line for people only. */
  note(text: string): void
  readonly isJson: boolean
  readonly isTerminal: boolean
}

/** Writes to standard output; logs and errors go to stderr. */
export function createOutput(isJson: boolean): Output {
  return {
    isJson,
    isTerminal: process.stdout.isTTY === true,
    show(value, text) {
      const out = isJson ? JSON.stringify(value) : text().split('\n').map(stripControls).join('\n')
      if (out !== '') process.stdout.write(`${out}\n`)
    },
    note(text) {
      if (!isJson) process.stdout.write(`${text}\n`)
    },
  }
}

/** Columns padded to the widest cell, two blanks between. */
export function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const all = [head, ...rows]
  const widths = head.map((_, column) => Math.max(...all.map((row) => (row[column] ?? '').length)))
  return all
    .map((row) =>
      row
        .map((cell, column) => cell.padEnd(widths[column] ?? 0))
        .join('  ')
        .trimEnd(),
    )
    .join('\n')
}

/** `1.5 MB`. */
export function formatBytes(bytes: number): string {
  const units = ['B', 'kB', 'MB', 'GB', 'TB']
  let value = bytes
  let unit = 0
  while (value >= 1000 && unit < units.length - 1) {
    value /= 1000
    unit += 1
  }
  return `${unit === 0 || value >= 100 ? Math.round(value) : value.toFixed(1)} ${units[unit]}`
}

/** `3 min`, `2 h`, `5 d`. */
export function formatDuration(ms: number): string {
  const steps: [number, string][] = [
    [86_400_000, 'd'],
    [3_600_000, 'h'],
    [60_000, 'min'],
    [1000, 's'],
  ]
  for (const [size, unit] of steps) if (ms >= size) return `${Math.floor(ms / size)} ${unit}`
  return `${Math.round(ms)} ms`
}

/** A whole number from 0, for commander. */
export function parseWholeNumber(text: string): number {
  if (!/^\d{1,15}$/.test(text)) throw new InvalidArgumentError('expected a whole number')
  return Number(text)
}

/**
 * `90s`, `15m`, `24h`, `7d` in ms; undefined for anything else.
 */
export function parseDuration(text: string): number | undefined {
  const match = /^(\d+)(ms|s|m|h|d)$/.exec(text)
  const factor = { ms: 1, s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000 }[match?.[2] ?? '']
  return match === null || factor === undefined ? undefined : Number(match[1]) * factor
}
