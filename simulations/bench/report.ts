import { cpus, loadavg } from 'node:os'
import { median, medianRatio } from './statistics.ts'

/** One metric of one stack: what each counted round gave, and the two figures drawn from it. */
export interface Metric {
  readonly rounds: readonly number[]
  readonly median: number
  /** Lowest for costs and times, highest for rates. */
  readonly best: number
  /** Median over rounds of the ratio to each reference stack in the same round, by the reference's name. */
  readonly ratioTo: Readonly<Record<string, number>>
}

/** What a benchmark found; the `--json` document holds one a name. */
export interface Report {
  readonly name: string
  readonly startedAt: string
  readonly machine: { readonly node: string; readonly cpu: string; readonly cores: number }
  /** Load average of the last minute. */
  readonly load: { readonly before: number; readonly after: number }
  readonly rounds: number
  /** Metric by name by stack. */
  readonly stacks: Readonly<Record<string, Readonly<Record<string, Metric>>>>
}

/** Whether a higher or a lower figure is the better one. */
export type Direction = 'higher' | 'lower'

/** Collects what rounds measure and turns it into a report. */
export class Recorder {
  readonly #name: string
  readonly #directions: Readonly<Record<string, Direction>>
  readonly #references: readonly string[]
  readonly #startedAt = new Date().toISOString()
  readonly #loadBefore = loadAverage()
  readonly #values = new Map<string, Map<string, number[]>>()

  /**
   * @param stacks in the order of the report
   * @param references stacks to which all others are compared
   */
  constructor(
    name: string,
    stacks: readonly string[],
    directions: Readonly<Record<string, Direction>>,
    references: readonly string[],
  ) {
    this.#name = name
    for (const stack of stacks) this.#values.set(stack, new Map())
    this.#directions = directions
    this.#references = references
  }

  /** Notes one round's figures of one stack. */
  add(stack: string, figures: Readonly<Record<string, number>>): void {
    const metrics = this.#values.get(stack) ?? new Map<string, number[]>()
    this.#values.set(stack, metrics)
    for (const [metric, value] of Object.entries(figures))
      metrics.set(metric, [...(metrics.get(metric) ?? []), value])
  }

  /** The report of all rounds so far. */
  report(rounds: number): Report {
    const stacks: Record<string, Record<string, Metric>> = {}
    for (const [stack, metrics] of this.#values) {
      const entry = (stacks[stack] = {} as Record<string, Metric>)
      for (const [metric, values] of metrics) entry[metric] = this.#metric(metric, values)
    }
    return {
      name: this.#name,
      startedAt: this.#startedAt,
      machine: { node: process.version, cpu: cpus()[0]?.model ?? 'unknown', cores: cpus().length },
      load: { before: this.#loadBefore, after: loadAverage() },
      rounds,
      stacks,
    }
  }

  #metric(metric: string, rounds: readonly number[]): Metric {
    const ratioTo: Record<string, number> = {}
    for (const reference of this.#references) {
      const ratio = medianRatio(rounds, this.#values.get(reference)?.get(metric) ?? [])
      if (Number.isFinite(ratio)) ratioTo[reference] = ratio
    }
    const best = this.#directions[metric] === 'higher' ? Math.max(...rounds) : Math.min(...rounds)
    return { rounds, median: median(rounds), best, ratioTo }
  }
}

/** A column of the printed table. */
export interface Column {
  readonly title: string
  readonly metric: string
  /** The median when absent. */
  readonly show?: 'best' | { readonly ratioTo: string }
}

/** The report as an aligned table: a line a stack. */
export function renderTable(report: Report, columns: readonly Column[]): string {
  const head = ['stack', ...columns.map(({ title }) => title)]
  const rows = Object.entries(report.stacks).map(([stack, metrics]) =>
    [stack].concat(columns.map((column) => cell(metrics[column.metric], column.show))),
  )
  const widths = head.map((_, at) => Math.max(...[head, ...rows].map((row) => row[at]?.length ?? 0)))
  const line = (row: readonly string[]): string =>
    row
      .map((text, at) => (at === 0 ? text.padEnd(widths[at] ?? 0) : text.padStart(widths[at] ?? 0)))
      .join('  ')
  return [head, ...rows].map(line).join('\n')
}

/** The line under a table: how many rounds, on what, and how busy the machine was. */
export function renderFooter({ rounds, machine, load }: Report): string {
  return `${rounds} rounds after one that warms up and is not counted; ${machine.cores} cores, ${machine.cpu}; load average ${load.before.toFixed(2)} before, ${load.after.toFixed(2)} after`
}

function cell(metric: Metric | undefined, show: Column['show']): string {
  if (metric === undefined) return '-'
  if (show === undefined) return figure(metric.median)
  return show === 'best' ? figure(metric.best) : figure(metric.ratioTo[show.ratioTo] ?? Number.NaN)
}

/** Three digits that count. */
export function figure(value: number): string {
  if (!Number.isFinite(value)) return '-'
  if (Math.abs(value) >= 100) return Math.round(value).toLocaleString('en')
  return value === 0 ? '0' : String(Number(value.toPrecision(3)))
}

function loadAverage(): number {
  return loadavg()[0] ?? Number.NaN
}
