import type { Played } from './story-play.ts'

const HEAD = ['story', 'check', 'nodes', 'simulator s', 'lab s', 'at most s', '']

/** The table at the end: one row a check. */
export function renderPlayed(played: readonly Played[]): string {
  const rows = played.flatMap(({ story, nodes, checks }) => {
    if (checks.length === 0) return [[story, '', '', '', '', '', 'FAILED could not be played']]
    return checks.map(({ name, predictedMs, settledMs, boundMs, differences }) => [
      story,
      name,
      String(nodes),
      seconds(predictedMs),
      seconds(settledMs),
      seconds(boundMs),
      differences.length === 0 && settledMs <= boundMs ? 'held' : `FAILED ${differences.join('; ')}`.trim(),
    ])
  })
  return renderTable([HEAD, ...rows], 2)
}

function renderTable(rows: readonly (readonly string[])[], leftColumns: number): string {
  const widths = (rows[0] ?? []).map((_, i) => Math.max(...rows.map((row) => (row[i] ?? '').length)))
  const line = (row: readonly string[]): string =>
    row
      .map((cell, i) =>
        i < leftColumns || i === row.length - 1 ? cell.padEnd(widths[i] ?? 0) : cell.padStart(widths[i] ?? 0),
      )
      .join('  ')
      .trimEnd()
  return rows.map(line).join('\n')
}

function seconds(ms: number): string {
  return (ms / 1000).toFixed(1)
}
