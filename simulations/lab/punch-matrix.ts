import { expectedPath, type ExpectedPath } from '../../protocols/traversal/expected-path.ts'
import type { Lab } from './lab.ts'
import type { EndReport } from './punch-end.ts'
import { MATRIX_DELAY_MS, MATRIX_KINDS, PunchLab, standingOf, type MatrixKind } from './punch-lab.ts'
import type { PathSettings } from './wan.ts'

/*
 * Punches of real sockets through real kernel NAT: one internet with two sites of each kind and a relay, every ordered pair tried
 * many times, each outcome held against what physics allows.
 */

/** Over the relay and back. */
const RELAYED_RTT_MS = 4 * MATRIX_DELAY_MS
/** Where physics allows no direct way but neither end knows it, a try takes until its time is over: so few do. */
const UNKNOWN_TRIES = 2
/** What is tried. */
export interface PunchMatrixOptions {
  readonly kinds?: readonly MatrixKind[]
  /** Ordered pairs, initiator first; all of `kinds` where left out. */
  readonly pairs?: readonly (readonly [MatrixKind, MatrixKind])[]
  /** For each ordered pair. */
  readonly tries: number
  /** For each ordered pair that is impossible, without telling each other how they stand. */
  readonly unknownTries?: number
  readonly seed: string
  /** Of every path; the delay of the matrix where it says nothing else. */
  readonly path?: Partial<PathSettings>
  /** Pairs at the same time; each site is in one at a time. */
  readonly parallel?: number
  readonly onProgress?: (done: number, all: number) => void
}

/** What came of one ordered pair. */
export interface PunchRow {
  readonly initiator: MatrixKind
  readonly responder: MatrixKind
  readonly expected: ExpectedPath
  /** Whether both ends told each other how they stand. */
  readonly isKnown: boolean
  readonly tries: number
  /** Tries that ended with a connection over which both ends heard each other. */
  direct: number
  /** Reasons of the tries that did not, of both ends, with how often. */
  readonly reasons: Record<string, number>
  /** Of direct tries, from the OFFER; those in which a SYN was sent again apart. */
  readonly tookMs: number[]
  readonly resentTookMs: number[]
  /** Tries whose outcome is not the one expected, in words. */
  readonly wrong: string[]
}

interface Job {
  readonly row: PunchRow
}

/** Tries every pair, several at the same time. */
export async function runPunchMatrix(lab: Lab, options: PunchMatrixOptions): Promise<PunchRow[]> {
  const { kinds = MATRIX_KINDS, tries, unknownTries = UNKNOWN_TRIES, seed, path, parallel = 4 } = options
  const pairs = options.pairs ?? kinds.flatMap((one) => kinds.map((other) => [one, other] as const))
  const rows = pairs.flatMap(([initiator, responder]) => rowsOf(initiator, responder, tries, unknownTries))
  const used = (side: 0 | 1): MatrixKind[] => [...new Set(pairs.map((pair) => pair[side]))]
  const sites = ([0, 1] as const).flatMap((side) =>
    used(side).map((kind) => ({ name: siteOf(side, kind), kind })),
  )
  const ends = await PunchLab.start(lab, seed, sites, path)
  try {
    const jobs = rows.flatMap((row) => Array.from({ length: row.tries }, () => ({ row })))
    await runJobs(jobs, parallel, (row) => tryOnce(ends, row), options.onProgress)
  } finally {
    await ends.close()
  }
  return rows
}

/** Where no direct way is possible it is tried without telling too, a few times. */
function rowsOf(
  initiator: MatrixKind,
  responder: MatrixKind,
  tries: number,
  unknownTries: number,
): PunchRow[] {
  const expected = expectedPath(standingOf(initiator), standingOf(responder))
  const row = (isKnown: boolean, count: number): PunchRow => ({
    initiator,
    responder,
    expected,
    isKnown,
    tries: count,
    direct: 0,
    reasons: {},
    tookMs: [],
    resentTookMs: [],
    wrong: [],
  })
  const isPossible = expected.path !== 'relay'
  return [row(true, tries), ...(isPossible ? [] : [row(false, unknownTries)])]
}

function siteOf(side: 0 | 1, kind: MatrixKind): string {
  return `${side === 0 ? 'a' : 'b'}-${kind}`
}

/** Each site is in one attempt at a time, so that what its kernel counts is that attempt's. */
async function runJobs(
  jobs: Job[],
  parallel: number,
  run: (row: PunchRow) => Promise<void>,
  onProgress: PunchMatrixOptions['onProgress'],
): Promise<void> {
  const all = jobs.length
  const waiting = [...jobs]
  const busy = new Set<string>()
  const running = new Set<Promise<void>>()
  const sitesOf = ({ row }: Job): string[] => [siteOf(0, row.initiator), siteOf(1, row.responder)]
  while (waiting.length > 0 || running.size > 0) {
    const index = waiting.findIndex((job) => sitesOf(job).every((site) => !busy.has(site)))
    const [job] = index === -1 || running.size >= parallel ? [] : waiting.splice(index, 1)
    if (job === undefined) {
      await Promise.race(running)
      continue
    }
    for (const site of sitesOf(job)) busy.add(site)
    const promise = run(job.row).finally(() => {
      for (const site of sitesOf(job)) busy.delete(site)
      running.delete(promise)
      onProgress?.(all - waiting.length - running.size, all)
    })
    running.add(promise)
  }
}

async function tryOnce(ends: PunchLab, row: PunchRow): Promise<void> {
  const { initiator, responder, isKnown } = row
  const reports = await ends.punch(siteOf(0, initiator), siteOf(1, responder), { isKnown })
  for (const { path, reason } of reports)
    if (path === 'relay') row.reasons[reason ?? ''] = (row.reasons[reason ?? ''] ?? 0) + 1
  const [first] = reports
  const isDirect = reports.every(({ path, isEchoed }) => path === 'direct' && isEchoed)
  if (isDirect) {
    row.direct++
    const times = reports.some(({ synsResent }) => synsResent > 0) ? row.resentTookMs : row.tookMs
    times.push(first.tookMs ?? 0)
  }
  if (!isRight(row, reports) || reports.some(({ leaked }) => leaked !== 0))
    row.wrong.push(JSON.stringify(reports))
}

function isRight(
  { initiator, responder, isKnown, expected: { path, reason } }: PunchRow,
  reports: readonly EndReport[],
): boolean {
  const isDirect =
    reports.every((each) => each.path === 'direct' && each.isEchoed) &&
    reports.map(({ role }) => role).join() === 'initiator,responder'
  if (path !== 'relay') return isDirect
  const told = reports.map((each) => each.reason)
  if (isKnown) return told.every((each) => each === reason)
  // Of eight ports in turn one is met by chance.
  if (isDirect) return [initiator, responder].includes('symmetric-sequential')
  // One side waits until the end, and the other hears of it, or waits as long.
  const hasWaited = (each: string | null): boolean => each === 'punch-timeout' || each === 'attempt-limit'
  return told.some(hasWaited) && told.every((each) => hasWaited(each) || each === 'peer-refused')
}

/** The value in the middle; null of nothing. */
export function medianOf(values: readonly number[]): number | null {
  return values.toSorted((a, b) => a - b)[values.length >> 1] ?? null
}

/** What all rows together say of time. */
export interface PunchTimes {
  readonly direct: number
  /** From OFFER to direct, in RTTs over the relay, where no SYN was sent again. */
  readonly p50Rtts: number | null
  readonly maxRtts: number | null
  /** Tries in which a SYN was sent again. */
  readonly resent: number
  readonly resentP50Ms: number | null
  readonly resentMaxMs: number | null
}

/** Sums up the times of all rows, but for those where a direct way is met by chance only. */
export function timesOf(all: readonly PunchRow[]): PunchTimes {
  const rows = all.filter(({ expected }) => expected.path !== 'relay')
  const took = rows.flatMap(({ tookMs }) => tookMs)
  const resent = rows.flatMap(({ resentTookMs }) => resentTookMs)
  const inRtts = (ms: number | null): number | null => (ms === null ? null : ms / RELAYED_RTT_MS)
  const longest = (values: readonly number[]): number | null =>
    values.length === 0 ? null : Math.max(...values)
  return {
    direct: took.length + resent.length,
    p50Rtts: inRtts(medianOf(took)),
    maxRtts: inRtts(longest(took)),
    resent: resent.length,
    resentP50Ms: medianOf(resent),
    resentMaxMs: longest(resent),
  }
}

/** The rows as a matrix for people: initiators down, responders across; tries that came out as expected of all. */
export function printMatrix(rows: readonly PunchRow[]): string {
  const kinds = MATRIX_KINDS.filter((kind) =>
    rows.some((row) => row.initiator === kind || row.responder === kind),
  )
  const cell = (initiator: MatrixKind, responder: MatrixKind): string => {
    const found = rows.filter((row) => row.initiator === initiator && row.responder === responder)
    const tries = found.reduce((sum, row) => sum + row.tries, 0)
    const wrong = found.reduce((sum, row) => sum + row.wrong.length, 0)
    return tries === 0 ? '' : `${found[0]?.expected.path} ${tries - wrong}/${tries}`
  }
  const table = [
    ['', ...kinds],
    ...kinds.map((initiator) => [initiator, ...kinds.map((responder) => cell(initiator, responder))]),
  ]
  const widths = ['', ...kinds].map((_, i) => Math.max(...table.map((line) => line[i]?.length ?? 0)))
  const lines = table.map((line) =>
    line
      .map((text, i) => text.padEnd(widths[i] ?? 0))
      .join('  ')
      .trimEnd(),
  )
  const { direct, p50Rtts, maxRtts, resent, resentP50Ms, resentMaxMs } = timesOf(rows)
  const times = `direct ${direct} times, after ${p50Rtts?.toFixed(2) ?? '-'} RTT over the relay (p50), ${maxRtts?.toFixed(2) ?? '-'} (longest)`
  const again =
    resent === 0
      ? ''
      : `; with a SYN sent again ${resent} times, ${resentP50Ms} ms (p50), ${resentMaxMs} ms (longest)`
  return [...lines, '', `${times}${again}`].join('\n')
}
