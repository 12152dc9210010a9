import type { ScenarioInput } from './schema.ts'

/** Members that do not keep to the protocol. */
export const LIARS: readonly ScenarioInput[] = [
  {
    name: 'replayer',
    summary: 'A member sends frames it has heard again, to anybody.',
    nodes: 30,
    seconds: 110,
    faults: [
      { at: 12, kind: 'byzantine', select: { count: 1 }, until: 60, args: { role: 'replayer' } },
      { at: 20, kind: 'churn', select: { share: 0.2 }, until: 50, args: { perMinute: 2, downMs: 2_000 } },
    ],
  },
  {
    name: 'roll-backer',
    summary: 'A member keeps the first records it heard and spreads them when newer ones are out.',
    nodes: 30,
    seconds: 110,
    faults: [
      { at: 12, kind: 'byzantine', select: { count: 1 }, until: 60, args: { role: 'roll-backer' } },
      { at: 20, kind: 'churn', select: { share: 0.2 }, until: 50, args: { perMinute: 2, downMs: 2_000 } },
    ],
  },
  {
    name: 'false-accuser',
    summary: 'A member accuses the living, two a second.',
    nodes: 30,
    seconds: 110,
    faults: [{ at: 12, kind: 'byzantine', select: { count: 1 }, until: 60, args: { role: 'accuser' } }],
    expect: { noFalseDeath: true },
  },
  {
    name: 'three-colluders',
    summary: 'Three members accuse one and the same living member.',
    nodes: 30,
    seconds: 110,
    faults: [{ at: 12, kind: 'byzantine', select: { count: 3 }, until: 60, args: { role: 'colluder' } }],
    expect: { noFalseDeath: true },
  },
  {
    name: 'revoked',
    summary: 'A certificate is revoked; its node goes on as if nothing had been said.',
    nodes: 40,
    seconds: 90,
    faults: [{ at: 15, kind: 'revoke', select: { count: 1 } }],
    expect: { noFalseDeath: true, events: ['member.revoked'] },
    budget: { cutEverywhereMs: 5_000 },
  },
  {
    name: 'revoked-during-partition',
    summary: 'A certificate is revoked while half is cut from half.',
    nodes: 30,
    seconds: 150,
    faults: [
      { at: 15, kind: 'partition', select: { share: 0.5 }, until: 60 },
      { at: 30, kind: 'revoke', select: { indices: [3] } },
    ],
    expect: { events: ['member.revoked'] },
  },
  {
    name: 'dropper',
    summary: 'A tenth forwards nothing; one honest member is killed.',
    nodes: 40,
    seconds: 120,
    faults: [
      { at: 12, kind: 'byzantine', select: { share: 0.1 }, until: 90, args: { role: 'dropper' } },
      { at: 20, kind: 'kill', select: { count: 1 } },
    ],
    expect: { noFalseDeath: true },
  },
  {
    name: 'equivocator',
    summary: 'A member signs different records under one version.',
    nodes: 30,
    seconds: 110,
    faults: [{ at: 12, kind: 'byzantine', select: { count: 1 }, until: 60, args: { role: 'equivocator' } }],
    expect: { noFalseDeath: true, events: ['registry.equivocation'] },
  },
]
