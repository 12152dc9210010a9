import test from 'ava'
import { KIND } from '../../../protocols/membership/wire.ts'
import { planFault } from '../../../simulations/scenarios/faults.ts'
import { faultSchema } from '../../../simulations/scenarios/schema.ts'
import { MemoryDisk, FLUSH_MS } from '../../../simulations/world/disk.ts'
import { sample, stream } from '../../../simulations/world/draws.ts'
import type { SimNode } from '../../../simulations/world/node.ts'
import { Paths } from '../../../simulations/world/paths.ts'
import { Scheduler } from '../../../simulations/world/scheduler.ts'
import { SITE_KINDS, topologySchema, wayBetween } from '../../../simulations/world/topology.ts'
import { World, type WorldInit } from '../../../simulations/world/world.ts'

const seed = 'faults'

/** A small mesh that has stood for ten seconds, with what its nodes said. */
function standing(init: Partial<WorldInit> = {}): { world: World; said: string[] } {
  const said: string[] = []
  const emitted = (node: SimNode, { kind, reason }: { kind: string; reason?: string }) =>
    void said.push(`${node.index} ${kind} ${reason ?? ''}`.trim())
  const world = new World({ seed, nodes: 5, watchers: [{ emitted }], ...init })
  world.run(10_000)
  return { world, said }
}

const held = (world: World, by: number, subject: number): string | undefined =>
  world.node(by).process?.state.verdicts.get(world.node(subject).id)?.state
const isLinked = (world: World, a: number, b: number): boolean =>
  world.node(a).process?.state.links.get(world.node(b).id)?.hello === true
const incarnation = (world: World, index: number): number =>
  world.node(index).process?.state.self.incarnation ?? NaN

test('events run by time, and in the order they were planned at the same time', (t) => {
  const scheduler = new Scheduler()
  const ran: string[] = []
  for (const [at, name] of [
    [5, 'c'],
    [1, 'a'],
    [5, 'd'],
    [3, 'b'],
    [5, 'e'],
    [9, 'never'],
  ] as const)
    scheduler.at(at, () => void ran.push(name))
  while (scheduler.next(8));
  t.deepEqual(ran, ['a', 'b', 'c', 'd', 'e'])
  t.is(scheduler.now, 8)
})

test('streams of chance depend on seed, label and node, and on nothing else', (t) => {
  const draw = (...args: Parameters<typeof stream>) => [...stream(...args).bytes(8)]
  t.deepEqual(draw('a', 'x', 1), draw('a', 'x', 1))
  const others = [draw('b', 'x', 1), draw('a', 'y', 1), draw('a', 'x', 2)].map(String)
  t.is(new Set([...others, String(draw('a', 'x', 1))]).size, 4)
  t.deepEqual(sample(stream('a', 'pick'), [1, 2, 3], 9), [1, 2, 3])
})

test('a crash loses what was not synchronous and not yet flushed', (t) => {
  const cases = [
    { name: 'sync', sync: true, afterMs: 0, kept: true },
    { name: 'just written', sync: false, afterMs: 0, kept: false },
    { name: 'almost flushed', sync: false, afterMs: FLUSH_MS - 1, kept: false },
    { name: 'flushed', sync: false, afterMs: FLUSH_MS, kept: true },
  ]
  for (const { name, sync, afterMs, kept } of cases) {
    const disk = new MemoryDisk()
    disk.put('k', 1, 100, { sync })
    t.is(disk.get('k'), 1, name)
    disk.crash(100 + afterMs)
    t.is(disk.get('k'), kept ? 1 : undefined, name)
  }
  const disk = new MemoryDisk()
  disk.put('m/a', 'old', 0, { sync: true })
  const copy = disk.snapshot()
  disk.put('m/a', 'new', 1, { sync: true })
  disk.restore(copy)
  t.deepEqual(disk.values('m/'), ['old'])
})

test('who can dial whom, by kind of site: as physics allows the lab', (t) => {
  const rows = SITE_KINDS.map((from) => {
    const ways = SITE_KINDS.map((to) => wayBetween(from, to)[0])
    return `${from.padEnd(26)} ${ways.join('')}`
  })
  t.deepEqual(rows, [
    'open                       dppppppppppppp',
    'cgnat                      dppppprrrppppp',
    'full-cone                  dppppppppppppp',
    'address-restricted         dppppppppppppp',
    'port-restricted            dppppprrrppppp',
    'port-restricted-other-port dppppprrrppppp',
    'symmetric                  drpprrrrrprrrr',
    'symmetric-sequential       drpprrrrrprrrr',
    'address-dependent          drpprrrrrprrrr',
    'hairpin                    dppppppppppppp',
    'linux-open                 dppppprrrppppp',
    'firewall                   dppppprrrppppp',
    'udp-blocked                dppppprrrppppp',
    'only-443                   dppppprrrppppp',
  ])
})

test('delays follow regions, jitter, loss and bandwidth', (t) => {
  const mean = (given: object, size = 100, from = 0, to = 1) => {
    const paths = new Paths(seed, 4, topologySchema.parse({ jitterMs: 0, ...given }))
    let sum = 0
    for (let i = 0; i < 200; i++) sum += paths.delayMs(from, to, size, i * 10_000)
    return sum / 200
  }
  t.is(mean({ nearMs: 7 }), 7)
  t.is(mean({ regions: 2, farMs: 90 }), 90)
  t.is(mean({ regions: 2, nearMs: 7 }, 100, 0, 2), 7)
  const jittered = mean({ nearMs: 7, jitterMs: 10 })
  t.true(jittered > 10 && jittered < 13, `${jittered}`)
  // Half is lost once: 200 ms; a quarter twice: 400 ms more; and so on, six at most.
  const lossy = mean({ nearMs: 0, lossRate: 0.5 })
  t.true(lossy > 400 && lossy < 800, `${lossy}`)
  t.is(mean({ nearMs: 0, bytesPerSecond: 1_000 }, 928), 1_000)
  const paths = new Paths(seed, 2, topologySchema.parse({ jitterMs: 0, bytesPerSecond: 1_000 }))
  t.is(paths.delayMs(0, 1, 928, 0), 1_005)
  t.is(paths.delayMs(0, 1, 928, 0), 2_005, 'the second waits for the first')
})

test('a killed process refuses dials, a vanished host is silent', (t) => {
  const killed = standing()
  killed.world.kill(killed.world.node(3))
  killed.world.run(11_000)
  t.true(
    [0, 1, 2, 4].every((by) => !isLinked(killed.world, by, 3)),
    'its host ends the connections at once',
  )
  t.true(held(killed.world, 0, 3) !== undefined)

  const vanished = standing()
  vanished.world.vanish(vanished.world.node(3))
  vanished.world.run(11_000)
  t.true(
    [0, 1, 2, 4].every((by) => isLinked(vanished.world, by, 3)),
    'nobody says anything',
  )
  for (const { world } of [killed, vanished]) {
    world.run(40_000)
    t.deepEqual(
      [0, 1, 2, 4].map((by) => held(world, by, 3)),
      ['dead', 'dead', 'dead', 'dead'],
    )
    world.start(world.node(3))
    world.run(50_000)
    t.deepEqual(
      [0, 1, 2, 4].map((by) => held(world, by, 3)),
      ['alive', 'alive', 'alive', 'alive'],
    )
  }
})

test('a cut holds back what is sent, and a short one loses nothing', (t) => {
  const { world, said } = standing()
  const heal = world.paths.cut({ from: new Set([1]), to: new Set([0, 2, 3, 4]) })
  world.run(11_500)
  heal()
  world.run(30_000)
  t.is(held(world, 0, 1), 'alive')
  t.false(said.some((line) => line.includes('member.died')))
  const end = [
    world.paths.cut({ from: new Set([1]), to: new Set([0, 2, 3, 4]) }),
    world.paths.cut({ from: new Set([0, 2, 3, 4]), to: new Set([1]) }),
  ]
  world.run(75_000)
  t.is(held(world, 0, 1), 'dead')
  t.is(held(world, 1, 0), 'dead')
  for (const each of end) each()
  world.run(140_000)
  t.is(held(world, 0, 1), 'alive')
  t.is(held(world, 1, 0), 'alive')
})

test('a one-way cut kills the link as a full one does', (t) => {
  for (const [from, to] of [
    [[1], [0, 2, 3, 4]],
    [[0, 2, 3, 4], [1]],
  ] as const) {
    const { world } = standing()
    world.paths.cut({ from: new Set(from), to: new Set(to) })
    world.run(60_000)
    t.is(held(world, 0, 1), 'dead', `${from} to ${to}`)
    t.is(held(world, 1, 0), 'dead', `${from} to ${to}`)
  }
})

test('routers: relays carry for those who cannot meet, until they die', (t) => {
  const topology = (relays: number) =>
    topologySchema.parse({ nat: ['open', 'symmetric', 'symmetric'], relays })
  const direct = standing({ nodes: 3, topology: topology(0) })
  t.true(isLinked(direct.world, 1, 0))
  t.false(isLinked(direct.world, 1, 2), 'nobody carries for them')
  const relayed = standing({ nodes: 3, topology: topology(1) })
  t.true(isLinked(relayed.world, 1, 2))
  relayed.world.kill(relayed.world.node(0))
  relayed.world.run(11_000)
  t.false(isLinked(relayed.world, 1, 2))
})

test('sites: nodes of one meet beside their router, ways between two may be their own', (t) => {
  const topology = topologySchema.parse({
    jitterMs: 0,
    nat: ['open', 'symmetric', 'symmetric'],
    sites: [0, 1, 1, 2],
    links: [{ one: 2, other: 0, delayMs: 80 }],
  })
  const paths = new Paths(seed, 4, topology)
  t.deepEqual(
    [0, 1, 2, 3].map((node) => paths.natOf(node)),
    ['open', 'symmetric', 'symmetric', 'symmetric'],
  )
  t.is(paths.way(1, 2), 'direct')
  t.is(paths.way(1, 3), 'relayed')
  t.deepEqual(
    [paths.delayMs(0, 3, 0, 0), paths.delayMs(3, 0, 0, 0), paths.delayMs(0, 1, 0, 0)],
    [80, 80, 5],
    'both ways, and no other',
  )
  paths.move(3, 1)
  t.is(paths.way(1, 3), 'direct')
  t.is(paths.delayMs(3, 0, 0, 0), 5)
})

test('a router that forgets silences what leaves its site; a node that roams loses everything', (t) => {
  const topology = topologySchema.parse({
    nat: ['open', 'symmetric', 'full-cone'],
    sites: [0, 1, 1, 2],
    relays: 1,
  })
  for (const [kind, args, isNeighbourLost] of [
    ['reboot-nat', {}, false],
    ['roam', { site: 2 }, true],
  ] as const) {
    const { world } = standing({ nodes: 4, topology })
    planFault(world, faultSchema.parse({ kind, at: 12, select: { indices: [1] }, args }))
    world.run(12_000)
    const [before] = world.node(1).connections.get(world.node(2).id) ?? []
    t.is(before?.isForgotten, isNeighbourLost, kind)
    t.true(
      world
        .node(1)
        .connections.get(world.node(0).id)
        ?.every(({ isForgotten }) => isForgotten),
    )
    t.true(world.canMeet(world.node(1), world.node(0)), 'it may dial anew')
    world.run(60_000)
    for (const other of [0, 2, 3]) {
      t.is(held(world, other, 1), 'alive', kind)
      t.is(held(world, 1, other), 'alive', kind)
    }
    t.true(isLinked(world, 1, 0))
    t.is(world.paths.siteOf(1), isNeighbourLost ? 2 : 1)
    world.vanish(world.node(0))
    t.false(world.canMeet(world.node(1), world.node(0)))
    t.is(world.canMeet(world.node(1), world.node(3)), isNeighbourLost, 'without the relay')
  }
})

test('a stalled event loop does nothing, and then all of it', (t) => {
  const ticks: number[] = []
  const stepped = (node: SimNode, _: unknown, { type }: { type: string }) => {
    if (node.index === 2) ticks.push(world.now)
    return type
  }
  const world: World = new World({ seed, nodes: 5, watchers: [{ stepped }] })
  world.run(10_000)
  world.stall(world.node(2), 5_000)
  world.run(20_000)
  t.false(ticks.some((at) => at > 10_000 && at < 15_000))
  t.true(ticks.filter((at) => at === 15_000).length > 1, 'frames waited for it')
  t.is(held(world, 0, 2), 'alive')
})

test('a wall clock may be apart and drift; incarnations still rise across restarts', (t) => {
  const { world } = standing()
  const node = world.node(2)
  Object.assign(node.clock, { skewMs: -3_600_000, driftPpm: 1_000 })
  t.is(world.clockOf(node) - world.clockOf(world.node(0)), -3_600_000 + 10)
  const before = incarnation(world, 2)
  world.kill(node)
  world.start(node)
  t.is(incarnation(world, 2), before + 1)
})

test('a disk taken back is noticed: the node adopts a newer incarnation than its neighbours know', (t) => {
  const { world, said } = standing()
  const node = world.node(2)
  const copy = node.disk.snapshot()
  for (let i = 0; i < 2; i++) {
    world.kill(node)
    world.start(node)
    world.run(world.now + 5_000)
  }
  const newest = incarnation(world, 2)
  world.kill(node)
  node.clock.skewMs = -60_000
  node.disk.restore(copy)
  world.start(node)
  t.true(incarnation(world, 2) < newest)
  world.run(world.now + 20_000)
  t.true(incarnation(world, 2) > newest)
  t.true(said.some((line) => line.startsWith('2 membership.incarnation-adopted')))
})

test('a copied identity is noticed by one of the two', (t) => {
  const { world, said } = standing()
  const copy = world.clone(world.node(2))
  t.is(copy.id, world.node(2).id)
  world.run(200_000)
  t.true(said.some((line) => line.includes('membership.silenced identity-cloned')))
})

test('a farewell is no death', (t) => {
  const { world } = standing()
  world.shutDown(world.node(2), true)
  world.run(15_000)
  t.is(world.node(2).process, null)
  t.is(held(world, 0, 2), 'left')
})

/** Plans one fault over nodes 1 and 2 from the tenth second to the thirtieth. */
function withFault(fault: object, init: Partial<WorldInit> = {}): ReturnType<typeof standing> {
  const made = standing(init)
  const read = faultSchema.parse({ at: 10, until: 30, select: { indices: [1, 2] }, ...fault })
  planFault(made.world, read)
  return made
}

test('a fault begins and ends when it says', (t) => {
  const probes: Readonly<
    Record<string, { fault: object; seen: (world: World) => unknown; during: unknown; after: unknown }>
  > = {
    partition: { fault: { kind: 'partition' }, seen: blocked, during: 'both', after: 'none' },
    'partition out': {
      fault: { kind: 'partition', args: { direction: 'out' } },
      seen: blocked,
      during: 'out',
      after: 'none',
    },
    'partition in': {
      fault: { kind: 'partition', args: { direction: 'in' } },
      seen: blocked,
      during: 'in',
      after: 'none',
    },
    kill: { fault: { kind: 'kill' }, seen: up, during: 'host', after: 'process' },
    vanish: { fault: { kind: 'vanish' }, seen: up, during: 'nothing', after: 'process' },
    stop: { fault: { kind: 'stop' }, seen: up, during: 'host', after: 'process' },
    clock: {
      fault: { kind: 'clock', args: { skewMs: 5_000 } },
      seen: (world) => world.clockOf(world.node(1)) - world.clockOf(world.node(0)),
      during: 5_000,
      after: 0,
    },
    slow: { fault: { kind: 'slow', args: { extraMs: 700 } }, seen: delay, during: 705, after: 5 },
    narrow: {
      fault: { kind: 'narrow', args: { bytesPerSecond: 1_000 } },
      seen: delay,
      during: 1_005,
      after: 5,
    },
    byzantine: {
      fault: { kind: 'byzantine', args: { role: 'dropper' } },
      seen: (world) => world.node(1).role !== null,
      during: true,
      after: false,
    },
    clone: { fault: { kind: 'clone' }, seen: (world) => world.live().length, during: 7, after: 5 },
  }
  for (const [name, { fault, seen, during, after }] of Object.entries(probes)) {
    const { world } = withFault(fault, { topology: topologySchema.parse({ jitterMs: 0 }) })
    world.run(25_000)
    t.is(seen(world), during, `${name} at 25 s`)
    world.run(45_000)
    t.is(seen(world), after, `${name} at 45 s`)
    t.is(world.node(0).lives, 1, `${name} spares the others`)
  }
})

function blocked({ paths }: World): string {
  const [out, into] = [paths.isBlocked(1, 0), paths.isBlocked(0, 1)]
  if (paths.isBlocked(1, 2) || paths.isBlocked(0, 3)) return 'inside'
  return out && into ? 'both' : out ? 'out' : into ? 'in' : 'none'
}

function up(world: World): string {
  const { isHostUp, process } = world.node(1)
  return process !== null ? 'process' : isHostUp ? 'host' : 'nothing'
}

/** One way for 928 bytes, a kilobyte with what the layers below add. */
function delay(world: World): number {
  return world.paths.delayMs(1, 0, 928, world.now)
}

test('flapping comes and goes, churn kills again and again', (t) => {
  const flapping = withFault({ kind: 'flap', args: { downMs: 2_000, upMs: 3_000 } })
  const states = []
  for (let second = 11; second <= 35; second += 1) {
    flapping.world.run(second * 1000 - 500)
    states.push(blocked(flapping.world) === 'both' ? 'x' : '.')
  }
  t.is(states.join(''), 'xx...xx...xx...xx........')
  const churned = withFault({ kind: 'churn', args: { perMinute: 20, downMs: 500 } })
  churned.world.run(45_000)
  t.true(churned.world.node(1).lives > 3)
  t.is(churned.world.live().length, 5, 'all are back')
})

test('byzantine roles do what they are called', (t) => {
  const cases: readonly (readonly [string, RegExp])[] = [
    ['accuser', /^[034] member\.suspected/],
    ['colluder', /^[034] member\.suspected/],
    ['equivocator', /registry\.equivocation/],
  ]
  for (const [role, expected] of cases) {
    const { world, said } = withFault({ kind: 'byzantine', args: { role } }, { nodes: 20 })
    world.run(40_000)
    t.true(
      said.some((line) => expected.test(line)),
      role,
    )
  }
  const counts = (role: string | null) => {
    let frames = 0
    const sent = (node: SimNode, frame: Uint8Array) =>
      void (node.index === 1 && frame[1] === KIND.records && frames++)
    const fault =
      role === null ? { kind: 'slow', args: { extraMs: 0 } } : { kind: 'byzantine', args: { role } }
    const { world } = withFault(fault, { watchers: [{ sent }], nodes: 20 })
    planFault(world, faultSchema.parse({ at: 12, kind: 'kill', select: { indices: [5, 6, 7] }, until: 15 }))
    world.run(30_000)
    return frames
  }
  const honest = counts(null)
  t.true(counts('dropper') < honest / 2, 'a dropper forwards less')
  for (const role of ['replayer', 'roll-backer']) t.true(counts(role) > honest * 1.3, `a ${role} sends more`)
})

test('a revoked member is cut by all and stays cut', (t) => {
  const { world, said } = withFault({ kind: 'revoke', until: undefined, select: { indices: [2] } })
  world.run(12_000)
  for (const by of [0, 1, 3, 4]) t.false(isLinked(world, by, 2))
  t.true(said.some((line) => line.includes('member.revoked')))
  world.run(60_000)
  for (const by of [0, 1, 3, 4]) {
    t.false(isLinked(world, by, 2))
    t.is(world.node(by).process?.state.table.get(world.node(2).id), undefined)
  }
})
