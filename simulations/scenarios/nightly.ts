import type { ScenarioInput } from './schema.ts'

/** What is too large for every change. */
export const NIGHTLY: readonly ScenarioInput[] = [
  {
    name: 'minority-of-seven-for-a-day',
    summary: 'Two of seven are cut off for 24 hours.',
    nodes: 7,
    seconds: 87_000,
    faults: [{ at: 60, kind: 'partition', select: { count: 2 }, until: 86_460 }],
    budget: { healMs: 120_000 },
  },
  {
    name: 'thousand-kill-one-percent',
    summary: '1,000 nodes, ten killed at once.',
    nodes: 1_000,
    seconds: 75,
    faults: [{ at: 15, kind: 'kill', select: { share: 0.01 } }],
    expect: { noFalseDeath: true },
    budget: { deadEverywhereMs: 25_000 },
  },
  {
    name: 'thousand-partition',
    summary: '1,000 nodes, half cut from half for a minute.',
    nodes: 1_000,
    seconds: 150,
    faults: [{ at: 15, kind: 'partition', select: { share: 0.5 }, until: 75 }],
    budget: { healMs: 35_000 },
  },
  {
    name: 'thousand-idle',
    summary: '1,000 nodes, nothing happens.',
    nodes: 1_000,
    seconds: 40,
    expect: { noFalseDeath: true },
    budget: { idleBytesPerSecond: 300 },
  },
]
