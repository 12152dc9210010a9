import test from 'ava'
import fc from 'fast-check'
import {
  DIRECT_LASTING_MS,
  DIRECT_RETRY_FIRST_MS,
  DIRECT_RETRY_MAX_MS,
  FOLLOW_MS,
  NETWORK_SETTLE_MS,
  PROBE_MS,
  TRY_MS,
} from '../../../protocols/traversal/limits.ts'
import {
  createPath,
  nextPathWakeAt,
  step,
  useOf,
  type PathEffect,
  type PathEvent,
} from '../../../protocols/traversal/path.ts'

/** Drives one path and keeps what it did. */
class Driver {
  now = 0
  readonly effects: PathEffect[] = []
  readonly state
  random = 0.5

  constructor(leads = true) {
    this.state = createPath(leads, 0)
  }

  tell(event: PathEvent): this {
    this.effects.push(...step(this.state, event, this.now, () => this.random))
    return this
  }

  pass(ms: number): this {
    const until = this.now + ms
    for (let wakes = 0; ; wakes++) {
      const wakeAt = nextPathWakeAt(this.state)
      if (wakeAt === null || wakeAt > until) break
      if (wakes > 1_000) throw new Error('wakes for ever')
      this.now = Math.max(this.now, wakeAt)
      this.tell({ type: 'wake' })
    }
    this.now = until
    return this
  }

  /** How often a direct way was looked for. */
  get tries(): number {
    return this.effects.filter(({ type }) => type === 'try').length
  }

  get uses(): string[] {
    return this.effects.flatMap((effect) =>
      effect.type === 'use' ? `${effect.use.path} ${effect.reason}` : [],
    )
  }
}

const made = (connection: string): PathEvent => ({ type: 'direct-made', connection })
const answered = (connection: string): PathEvent => ({ type: 'probe-answered', connection })
const closed = (connection: string): PathEvent => ({ type: 'direct-closed', connection })
const direct = (): Driver =>
  new Driver().tell({ type: 'relay-up' }).pass(0).tell(made('c1')).tell(answered('c1'))

test('the relay carries streams at once, and the direct connection once it has answered', (t) => {
  const driver = new Driver().tell({ type: 'relay-up' })
  t.deepEqual(driver.uses, ['relay path-relay-up'])
  driver.pass(0)
  t.is(driver.tries, 1)
  driver.tell(made('c1'))
  t.deepEqual(useOf(driver.state), { path: 'relay' })
  driver.pass(80).tell(answered('c1'))
  t.deepEqual(useOf(driver.state), { path: 'direct', connection: 'c1' })
  t.deepEqual(driver.uses, ['relay path-relay-up', 'direct path-direct-up'])
  driver.tell({ type: 'relay-down' })
  t.deepEqual(useOf(driver.state), { path: 'direct', connection: 'c1' })
  t.is(nextPathWakeAt(driver.state), null)
})

test('of two connections dialled at once neither side closes one: each may have learned of them in another order', (t) => {
  const leading = new Driver(true).tell(made('x')).tell(made('y')).tell(answered('x'))
  const following = new Driver(false).tell(made('y')).tell(made('x')).tell(answered('y'))
  for (const { effects } of [leading, following]) t.false(effects.some(({ type }) => type === 'close'))
  t.deepEqual(useOf(leading.state), { path: 'direct', connection: 'x' })
  t.deepEqual(useOf(following.state), { path: 'direct', connection: 'y' })
  // The owner on the leading side closes what it does not use once nobody speaks over it, and tells of the one that is left.
  following.tell(closed('y')).tell(made('x')).tell(answered('x'))
  t.deepEqual(useOf(following.state), { path: 'direct', connection: 'x' })
})

test('the side that does not lead begins later, unless the other has come by then', (t) => {
  const driver = new Driver(false).tell({ type: 'relay-up' }).pass(FOLLOW_MS - 1)
  t.is(driver.tries, 0)
  t.is(driver.pass(1).tries, 1)
  const led = new Driver(false).tell({ type: 'relay-up' }).pass(500).tell(made('c1')).tell(answered('c1'))
  t.is(led.pass(10 * FOLLOW_MS).tries, 0)
})

test('a direct connection that does not answer is closed, and tried again later', (t) => {
  const driver = new Driver().tell({ type: 'relay-up' }).pass(0).tell(made('c1')).pass(PROBE_MS)
  t.deepEqual(driver.effects.at(-1), { type: 'close', connection: 'c1' })
  t.is(driver.state.lastFailure, 'path-probe-timeout')
  driver.tell(answered('c1'))
  t.deepEqual(useOf(driver.state), { path: 'relay' })
  t.is(driver.pass(DIRECT_RETRY_FIRST_MS).tries, 2)
})

test('a try that says nothing counts as failed', (t) => {
  const driver = new Driver().tell({ type: 'relay-up' }).pass(TRY_MS)
  t.is(driver.state.lastFailure, 'punch-timeout')
  t.is(driver.pass(DIRECT_RETRY_FIRST_MS).tries, 2)
})

test('when the direct connection dies, new streams go over the relay, and it is looked for again', (t) => {
  const driver = direct().pass(DIRECT_LASTING_MS).tell(closed('c1'))
  t.deepEqual(driver.uses.slice(2), ['relay path-direct-lost'])
  t.is(driver.state.reason, 'path-direct-lost')
  t.is(driver.pass(2 * NETWORK_SETTLE_MS).tries, 2)
  driver.tell(made('c2')).tell(answered('c2')).tell({ type: 'relay-down' }).tell(closed('c2'))
  t.deepEqual(driver.uses.slice(3), ['direct path-direct-up', 'none path-direct-lost'])
  // Nothing leads there: nothing is tried until a relay does.
  t.is(driver.pass(DIRECT_RETRY_MAX_MS).tries, 2)
  t.is(driver.tell({ type: 'relay-up' }).pass(0).tries, 3)
})

test('one that dies young counts as failed, so that a flapping way is not dialled for ever', (t) => {
  const driver = direct()
  for (let n = 2; n < 40; n++)
    driver
      .tell(closed(`c${n - 1}`))
      .pass(DIRECT_RETRY_FIRST_MS / 10)
      .tell(made(`c${n}`))
      .tell(answered(`c${n}`))
  t.true(driver.state.failures > 30)
  t.true(driver.tries <= 2)
})

test('the pauses between tries double up to a limit, half by chance', (t) => {
  const driver = new Driver().tell({ type: 'relay-up' })
  const pauses: number[] = []
  for (let n = 0; n < 9; n++) {
    driver.random = n % 2
    driver.pass((nextPathWakeAt(driver.state) ?? 0) - driver.now)
    driver.tell({ type: 'try-failed', reason: 'punch-timeout' })
    pauses.push(((nextPathWakeAt(driver.state) ?? 0) - driver.now) / DIRECT_RETRY_FIRST_MS)
  }
  t.deepEqual(pauses, [0.5, 2, 2, 8, 8, 32, 30, 60, 30])
  const impossible = new Driver().tell({ type: 'relay-up' }).pass(0)
  impossible.tell({ type: 'try-failed', reason: 'both-ports-unknown' })
  t.is(nextPathWakeAt(impossible.state), 0.75 * DIRECT_RETRY_MAX_MS)
})

test('after a change of network the connection in use is asked, or a new one looked for', (t) => {
  const alive = direct().tell({ type: 'network-changed' })
  t.deepEqual(alive.effects.at(-1), { type: 'probe', connection: 'c1' })
  alive.tell(answered('c1')).pass(DIRECT_RETRY_MAX_MS)
  t.deepEqual(useOf(alive.state), { path: 'direct', connection: 'c1' })

  const dead = direct().pass(DIRECT_LASTING_MS).tell({ type: 'network-changed' }).pass(PROBE_MS)
  t.deepEqual(dead.uses.slice(2), ['relay path-network-changed'])
  t.is(dead.pass(2 * NETWORK_SETTLE_MS).tries, 2)

  const relayed = new Driver().tell({ type: 'relay-up' }).pass(0)
  relayed.tell({ type: 'try-failed', reason: 'port-unknown' }).tell({ type: 'network-changed' })
  t.is(relayed.pass(2 * NETWORK_SETTLE_MS).tries, 2)
})

test('a try from the old network is given up, and begun again from the new one', (t) => {
  const driver = new Driver().tell({ type: 'relay-up' }).pass(0).tell({ type: 'network-changed' })
  t.deepEqual(driver.effects.at(-1), { type: 'cancel' })
  driver.tell({ type: 'try-failed', reason: 'punch-cancelled' })
  t.is(driver.state.failures, 0)
  t.is(driver.pass(2 * NETWORK_SETTLE_MS).tries, 2)
  // A direct connection that was young when the network went is not to blame.
  const young = direct().tell({ type: 'network-changed' }).pass(PROBE_MS)
  t.is(young.pass(2 * NETWORK_SETTLE_MS).tries, 2)
})

test('another direct connection takes over, and the old one may end its streams', (t) => {
  const driver = direct().tell(made('c2')).tell(made('c3'))
  t.deepEqual(driver.effects.at(-1), { type: 'probe', connection: 'c2' }, 'one is asked at a time')
  driver.tell(answered('c2'))
  t.deepEqual(driver.effects.slice(-2), [
    { type: 'retire', connection: 'c1' },
    { type: 'use', use: { path: 'direct', connection: 'c2' }, reason: 'path-direct-up' },
  ])
  driver.tell(closed('c1'))
  t.deepEqual(useOf(driver.state), { path: 'direct', connection: 'c2' })
})

test('whatever happens, streams only use what stands and has answered, and tries keep their distance', (t) => {
  const connection = fc.constantFrom('c1', 'c2', 'c3')
  const event: fc.Arbitrary<PathEvent> = fc.oneof(
    fc.constantFrom<PathEvent>(
      { type: 'relay-up' },
      { type: 'relay-down' },
      { type: 'network-changed' },
      { type: 'wake' },
    ),
    connection.map(made),
    connection.map(answered),
    connection.map(closed),
    fc.constantFrom<PathEvent>(
      { type: 'try-failed', reason: 'punch-timeout' },
      { type: 'try-failed', reason: 'port-unknown' },
      { type: 'try-failed', reason: 'punch-cancelled' },
    ),
  )
  fc.assert(
    fc.property(
      fc.boolean(),
      fc.array(fc.tuple(event, fc.nat(10_000)), { maxLength: 80 }),
      (leads, events) => {
        const driver = new Driver(leads)
        let isRelayed = false
        const hasAnswered = new Set<string>()
        for (const [each, ms] of events) {
          driver.pass(ms)
          if (each.type === 'relay-up') isRelayed = true
          if (each.type === 'relay-down') isRelayed = false
          if (each.type === 'probe-answered') hasAnswered.add(each.connection)
          if (each.type === 'direct-closed') hasAnswered.delete(each.connection)
          const from = driver.effects.length
          driver.tell(each)
          const use = useOf(driver.state)
          if (use.path === 'relay') t.true(isRelayed)
          if (use.path === 'none') t.false(isRelayed)
          if (use.path === 'direct') t.true(hasAnswered.has(use.connection))
          // The state and what the owner was told agree.
          const told = driver.effects.slice(from).findLast((effect) => effect.type === 'use')
          if (told !== undefined) t.deepEqual(told.use, use)
          t.true(
            driver.state.tryUntil !== null ||
              driver.state.tryAt === null ||
              driver.state.tryAt <= driver.now + DIRECT_RETRY_MAX_MS,
          )
          t.false(driver.state.tryUntil !== null && driver.state.tryAt !== null)
          // Who is only relayed will try again.
          if (use.path === 'relay')
            t.true(driver.state.tryUntil !== null || nextPathWakeAt(driver.state) !== null)
        }
        t.true(driver.tries <= events.length + 1 + driver.now / (DIRECT_RETRY_FIRST_MS / 2))
      },
    ),
    { numRuns: 1_000 },
  )
})
