const UNITS = ['B', 'kB', 'MB', 'GB', 'TB', 'PB']

/** `1.4 MB`: SI units, three digits at most. */
export function formatBytes(bytes: number): string {
  let value = bytes
  let unit = 0
  while (value >= 999.5 && unit < UNITS.length - 1) {
    value /= 1000
    unit++
  }
  return `${unit === 0 || value >= 99.5 ? Math.round(value) : value.toFixed(1)} ${UNITS[unit]}`
}

/** `3 d 4 h`: the two largest units that are not zero. */
export function formatDuration(ms: number): string {
  const seconds = Math.max(0, Math.floor(ms / 1000))
  const parts: [number, string][] = [
    [Math.floor(seconds / 86_400), 'd'],
    [Math.floor(seconds / 3600) % 24, 'h'],
    [Math.floor(seconds / 60) % 60, 'min'],
    [seconds % 60, 's'],
  ]
  const first = parts.findIndex(([count]) => count > 0)
  if (first === -1) return '0 s'
  return parts
    .slice(first, first + 2)
    .filter(([count]) => count > 0)
    .map(([count, unit]) => `${count} ${unit}`)
    .join(' ')
}

/** `5 min`: the largest unit alone, for how old something is. */
export function formatAge(ms: number): string {
  return formatDuration(ms).split(' ').slice(0, 2).join(' ')
}

/** `5 min ago`; `just now` below five seconds and for clocks that differ a little. */
export function formatAgo(at: number, now: number): string {
  const ago = now - at
  if (ago < 5000) return 'just now'
  return `${formatAge(ago)} ago`
}

/** `1.4 ms`, `42 ms`. */
export function formatRtt(rttMs: number | null): string {
  if (rttMs === null) return '–'
  return `${rttMs < 10 ? rttMs.toFixed(1) : Math.round(rttMs)} ms`
}

/** A peer id short enough for a table, with both ends, which is what people compare. */
export function shortId(id: string): string {
  return id.length > 16 ? `${id.slice(0, 8)}…${id.slice(-6)}` : id
}
