import type { ScenarioInput } from './schema.ts'

/** Clocks, disks and event loops that go wrong. */
export const HOSTS: readonly ScenarioInput[] = [
  {
    name: 'clock-skew',
    summary: 'A quarter of the clocks is two minutes off and drifts; one of all is killed and comes back.',
    nodes: 40,
    seconds: 140,
    faults: [
      {
        at: 12,
        kind: 'clock',
        select: { share: 0.25 },
        until: 100,
        args: { skewMs: 120_000, driftPpm: 200 },
      },
      { at: 20, kind: 'kill', select: { count: 1 }, until: 60 },
    ],
  },
  {
    name: 'clock-behind-at-restart',
    summary:
      'A clock is a minute behind when its node starts, and starts again at once: only the disk helps.',
    nodes: 30,
    seconds: 100,
    faults: [
      { at: 15, kind: 'kill', select: { indices: [5] }, until: 20 },
      { at: 16, kind: 'clock', select: { indices: [5] }, args: { skewMs: -60_000 } },
      { at: 21.5, kind: 'kill', select: { indices: [5] }, until: 23 },
    ],
  },
  {
    name: 'clock-set-back',
    summary:
      'Clocks are set back while their nodes run, which then are cut off and have to refute their death.',
    nodes: 30,
    seconds: 110,
    faults: [
      { at: 20, kind: 'clock', select: { indices: [3, 9, 14] }, args: { skewMs: -100_000 } },
      { at: 30, kind: 'partition', select: { indices: [3, 9, 14] }, until: 50 },
    ],
    budget: { healMs: 30_000 },
  },
  {
    name: 'disk-rollback',
    summary: 'A node comes back with a disk of half a minute ago and a clock behind.',
    nodes: 30,
    seconds: 130,
    faults: [
      { at: 20, kind: 'kill', select: { indices: [4] }, until: 22 },
      { at: 40, kind: 'clock', select: { indices: [4] }, until: 90, args: { skewMs: -60_000 } },
      { at: 41, kind: 'rollback', select: { indices: [4] }, until: 45, args: { ageSeconds: 30 } },
    ],
    expect: { events: ['membership.incarnation-adopted'] },
  },
  {
    name: 'cloned-identity',
    summary: 'A copy of a data directory is started on a second host, and found two minutes later.',
    nodes: 20,
    seconds: 220,
    faults: [{ at: 15, kind: 'clone', select: { indices: [6] }, until: 135 }],
    expect: { events: ['membership.silenced'] },
  },
  {
    name: 'event-loop-stalls',
    summary: 'A fifth of the event loops stands still for 4 s.',
    nodes: 40,
    seconds: 90,
    faults: [{ at: 15, kind: 'stall', select: { share: 0.2 }, args: { ms: 4_000 } }],
  },
]
