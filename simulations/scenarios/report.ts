import type { RunResult } from './run.ts'

/** A run with what it cost. */
export interface Finished {
  readonly result: RunResult
  readonly cpuMs: number
  /** The failure made small, where that was asked for. */
  readonly shrunk: { readonly result: RunResult; readonly runs: number; readonly file: string } | null
}

/** The command that does a run again. */
export function replayCommand({ scenario, seed }: RunResult): string {
  return `npm run sim -- ${scenario.name} --seed ${seed} --nodes ${scenario.nodes}`
}

/** A failed run, for people: what broke, when, and how to see it again. */
export function describeFailure({ result, shrunk }: Finished, command: string): string {
  const { scenario, seed, hash, violation } = result
  if (violation === null) throw new Error('the run did not fail')
  const { invariant, text, atMs, event } = violation
  const lines = [
    `FAILED scenario=${scenario.name} seed=${seed} event=${event} invariant=${invariant} hash=${hash}`,
    `  after ${(atMs / 1000).toFixed(1)} s: ${text}`,
    `  again: ${command}`,
  ]
  if (shrunk !== null) {
    const small = shrunk.result.scenario
    lines.push(
      `  smaller (${shrunk.runs} runs): ${small.nodes} nodes, ${small.seconds} s, ${small.faults.length} faults: ${
        small.faults.map(({ kind, at }) => `${kind} at ${at} s`).join(', ') || 'none'
      }`,
      `  again: npm run sim -- --replay ${shrunk.file}`,
    )
  }
  return lines.join('\n')
}

const HEAD = [
  'scenario',
  'nodes',
  'runs',
  'failed',
  'suspect s',
  'dead s',
  'healed s',
  'idle B/s',
  'peak kB/s',
  'CPU s',
]

/** One row for each scenario: medians over its seeds, the worst of the peaks. */
export function renderSummary(finished: readonly Finished[]): string {
  const rows = [HEAD, ...groups(finished).map(rowOf)]
  const widths = HEAD.map((_, i) => Math.max(...rows.map((row) => (row[i] ?? '').length)))
  const line = (row: readonly string[]) =>
    row.map((cell, i) => (i === 0 ? cell.padEnd(widths[i] ?? 0) : cell.padStart(widths[i] ?? 0))).join('  ')
  return rows.map(line).join('\n')
}

function groups(finished: readonly Finished[]): Finished[][] {
  const byName = new Map<string, Finished[]>()
  for (const each of finished) {
    const { name } = each.result.scenario
    const group = byName.get(name)
    if (group === undefined) byName.set(name, [each])
    else group.push(each)
  }
  return [...byName.values()]
}

function rowOf(group: readonly Finished[]): string[] {
  const measures = group.map(({ result }) => result.measures)
  const seconds = (values: readonly (number | null)[]) => {
    const value = medianOf(values)
    return value === null ? '-' : (value / 1000).toFixed(1)
  }
  return [
    group[0]?.result.scenario.name ?? '',
    String(group[0]?.result.scenario.nodes ?? 0),
    String(group.length),
    String(group.filter(({ result }) => result.violation !== null).length),
    seconds(measures.map(({ firstSuspectMs }) => firstSuspectMs)),
    seconds(measures.map(({ deadEverywhereMs }) => deadEverywhereMs)),
    seconds(measures.map(({ healMs }) => healMs)),
    String(medianOf(measures.map(({ idleBytesPerSecond }) => idleBytesPerSecond)) ?? '-'),
    (Math.max(...measures.map(({ peakBytesPerSecond }) => peakBytesPerSecond)) / 1000).toFixed(1),
    (group.reduce((sum, { cpuMs }) => sum + cpuMs, 0) / 1000).toFixed(2),
  ]
}

function medianOf(values: readonly (number | null)[]): number | null {
  const sorted = values.filter((value) => value !== null).sort((a, b) => a - b)
  return sorted[Math.floor((sorted.length - 1) / 2)] ?? null
}

/** One run for programs. */
export function toJson({ result, cpuMs, shrunk }: Finished): object {
  const { scenario, seed, hash, events, violation, measures } = result
  return {
    scenario: scenario.name,
    nodes: scenario.nodes,
    seconds: scenario.seconds,
    seed,
    hash,
    events,
    cpuMs: Math.round(cpuMs),
    ok: violation === null,
    violation,
    measures,
    replay: replayCommand(result),
    shrunk: shrunk === null ? null : { file: shrunk.file, scenario: shrunk.result.scenario },
  }
}

/** JUnit's XML, as CI systems read it. */
export function renderJunit(finished: readonly Finished[]): string {
  const failures = finished.filter(({ result }) => result.violation !== null).length
  const cases = finished.map(({ result, cpuMs }) => {
    const { scenario, seed, violation } = result
    const open = `  <testcase classname="${scenario.name}" name="seed ${seed}" time="${(cpuMs / 1000).toFixed(3)}"`
    if (violation === null) return `${open}/>`
    const text = escape(`${violation.text}\n${replayCommand(result)}`)
    return `${open}><failure message="${violation.invariant}">${text}</failure></testcase>`
  })
  const head = `<testsuite name="simulator" tests="${finished.length}" failures="${failures}">`
  return ['<?xml version="1.0" encoding="UTF-8"?>', head, ...cases, '</testsuite>', ''].join('\n')
}

function escape(text: string): string {
  return text
    .replaceAll('&', '&amp;')
    .replaceAll('<', '&lt;')
    .replaceAll('>', '&gt;')
    .replaceAll('"', '&quot;')
}
