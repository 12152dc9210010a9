import test from 'ava'
import fc from 'fast-check'
import type { LogEvent, Peer, Session } from '../../node/api/schemas.ts'
import type { Api, LiveHandlers } from '../../ui/src/api.ts'
import { createEventModel } from '../../ui/src/models/event-model.ts'
import { eventTitle, summary } from '../../ui/src/models/event-text.ts'
import { formatAgo, formatBytes, formatDuration, formatRtt, shortId } from '../../ui/src/models/format.ts'
import { createNodeModel } from '../../ui/src/models/node-model.ts'
import { filterPeers, serviceHealth } from '../../ui/src/models/peer-list.ts'
import { createPublishForm } from '../../ui/src/models/publish-form.ts'
import { createTheme } from '../../ui/src/models/theme.ts'
import { PublishInputSchema } from '../../node/api/schemas.ts'
import { FakeControl } from '../node/http/fake-control.ts'

const SESSION: Session = { role: 'admin', writes: true, expires: 1 }

/** A node model whose server, socket and timer the test plays. */
function played() {
  const timers: { action: () => void; delayMs: number }[] = []
  const sent: string[] = []
  let handlers: LiveHandlers | undefined
  const server = { session: (): Promise<Session> => Promise.resolve(SESSION), closed: 0 }
  const api = {
    session: () => server.session(),
    logout: () => Promise.resolve(),
    live(given: LiveHandlers) {
      handlers = given
      return { send: (text: string) => sent.push(text), close: () => server.closed++ }
    },
  } as unknown as Api
  const model = createNodeModel({
    api,
    later(action, delayMs) {
      timers.push({ action, delayMs })
      return () => {}
    },
    random: () => 1,
  })
  return { model, timers, sent, server, socket: () => handlers! }
}

const settle = (): Promise<void> => new Promise((resolve) => setImmediate(resolve))

test('the node model shows snapshots, keeps them when the connection breaks and comes back', async (t) => {
  const { model, timers, socket, sent } = played()
  t.is(model.link.value, 'connecting')
  await model.connect()
  socket().onOpen()
  t.is(model.link.value, 'open')
  const control = new FakeControl()
  socket().onMessage({ topic: 'status', data: control.statusNow })
  socket().onMessage({ topic: 'peers', data: control.peersNow })
  const events: number[] = []
  const stop = model.onEvent((event) => events.push(event.id))
  socket().onMessage({ topic: 'event', data: control.log[0]! })
  stop()
  socket().onMessage({ topic: 'event', data: control.log[1]! })
  t.deepEqual(events, [1])
  model.seen()
  t.deepEqual(sent, ['{"type":"seen"}'])
  socket().onClose(false)
  t.is(model.link.value, 'lost')
  t.is(model.peers.value?.length, 4, 'the old data stays')
  timers[0]!.action()
  await settle()
  socket().onOpen()
  t.is(model.link.value, 'open')
})

test('reconnects wait longer each time, up to a quarter of a minute, and start over after success', async (t) => {
  const { model, timers, server, socket } = played()
  server.session = () => Promise.reject(new Error('down'))
  await model.connect()
  for (let i = 0; i < 7; i++) {
    timers.at(-1)!.action()
    await settle()
  }
  t.deepEqual(
    timers.map((timer) => timer.delayMs),
    [500, 1000, 2000, 4000, 8000, 15_000, 15_000, 15_000],
  )
  server.session = () => Promise.resolve(SESSION)
  timers.at(-1)!.action()
  await settle()
  socket().onOpen()
  socket().onClose(false)
  t.is(timers.at(-1)!.delayMs, 500)
})

test('a session that is over logs the page out and forgets what it showed', async (t) => {
  const ways: ((play: ReturnType<typeof played>) => Promise<void> | void)[] = [
    (play) => play.socket().onClose(true),
    (play) => play.model.logout(),
    async (play) => {
      play.server.session = () => Promise.reject(Object.assign(new Error('no session'), { status: 401 }))
      play.socket().onClose(false)
      play.timers.at(-1)!.action()
      await settle()
    },
  ]
  for (const end of ways) {
    const play = played()
    await play.model.connect()
    play.socket().onOpen()
    play.socket().onMessage({ topic: 'status', data: new FakeControl().statusNow })
    await end(play)
    t.is(play.model.link.value, 'logged-out')
    t.is(play.model.status.value, null)
    const timers = play.timers.length
    play.socket().onClose(false)
    t.is(play.timers.length, timers, 'and does not try again')
  }
})

test('a tab without the write token, and a viewer, may only look', async (t) => {
  const play = played()
  for (const [session, writable, admin] of [
    [SESSION, true, true],
    [{ ...SESSION, writes: false }, false, false],
    [{ ...SESSION, role: 'viewer' }, false, false],
    [{ ...SESSION, role: 'operator' }, true, false],
  ] as const) {
    play.server.session = () => Promise.resolve(session)
    await play.model.refreshSession()
    t.is(play.model.writable.value, writable)
    t.is(play.model.admin.value, admin)
  }
})

/** An event log of `count` entries behind the model. */
function log(count: number) {
  const control = new FakeControl()
  control.log.length = 0
  const grow = (more: number): LogEvent[] => {
    for (let i = 0; i < more; i++) control.emit({ kind: 'test', severity: i % 10 === 0 ? 'warning' : 'info' })
    return control.log.slice(-more)
  }
  grow(count)
  return {
    grow,
    control,
    model: createEventModel({
      events: ({ peer, ...filter }) => control.events({ ...filter, ...(peer ? { peer } : {}) }),
    }),
  }
}

test('the event model follows, filters and fetches what it missed', async (t) => {
  const { grow, model } = log(500)
  await model.load()
  t.is(model.shown.value.length, 200)
  t.is(model.shown.value[0]?.id, 500, 'newest first')
  model.receive(grow(1)[0]!)
  t.is(model.shown.value[0]?.id, 501)
  model.receive(grow(50).at(-1)!)
  await settle()
  t.deepEqual(
    model.events.value?.map((event) => event.id),
    Array.from({ length: 251 }, (_, i) => 301 + i),
    'the gap is filled',
  )
  await model.older()
  t.is(model.events.value?.[0]?.id, 101)
  t.true(model.hasOlder.value)
  await model.older()
  t.is(model.events.value?.[0]?.id, 1)
  t.false(model.hasOlder.value)
})

test('a chosen kind, peer or severity is asked of the node, so old and rare events are found', async (t) => {
  const { grow, model, control } = log(0)
  const [one, other] = control.peersNow.map(({ id }) => id)
  const rare = { kind: 'rotation.failed', severity: 'warning', peer: one! } as const
  control.emit(rare)
  grow(1500)
  control.emit(rare)
  await model.load()
  t.is(model.shown.value.length, 200)
  t.false(model.isFiltered.value)
  model.choose({ kind: 'rotation' })
  t.is(model.events.value, null, 'what does not match is not shown meanwhile')
  await settle()
  t.deepEqual(
    model.shown.value.map((event) => event.id),
    [1502, 1],
  )
  t.false(model.hasOlder.value)
  for (const event of grow(3)) model.receive(event)
  t.is(model.shown.value.length, 2, 'others pass by')
  control.emit({ ...rare, peer: other! })
  model.receive(control.log.at(-1)!)
  t.is(model.shown.value[0]?.id, 1506)
  model.choose({ peer: one! })
  await settle()
  t.is(model.shown.value.length, 2)
  model.choose({ severity: 'alert' })
  await settle()
  t.deepEqual(model.shown.value, [])
  t.true(model.isFiltered.value)
  model.clear()
  await settle()
  t.is(model.shown.value[0]?.id, 1506)
  t.is(model.shown.value.length, 200)
  model.choose({ kind: 'rotation' })
  model.clear()
  await settle()
  t.is(model.shown.value.length, 200, 'the answer to a question taken back is dropped')
})

test('going far back stops following instead of losing what was asked for', async (t) => {
  const { grow, model } = log(1500)
  await model.load()
  for (let i = 0; i < 6; i++) await model.older()
  t.is(model.events.value?.[0]?.id, 101)
  t.is(model.events.value?.length, 1000)
  t.true(model.paused.value)
  await model.older()
  t.is(model.events.value?.[0]?.id, 1)
  t.false(model.hasOlder.value)
  model.receive(grow(1)[0]!)
  t.is(model.waitingCount.value, 1)
  model.resume()
  await settle()
  t.is(model.shown.value[0]?.id, 1501)
})

test('an event that comes while the log is being read is not lost', async (t) => {
  const { grow, control, model } = log(3)
  const read = model.load()
  model.receive(grow(1)[0]!)
  control.log.length = 3
  await read
  t.deepEqual(
    model.shown.value.map((event) => event.id),
    [4, 3, 2, 1],
  )
})

test('a paused log counts what is new; a jump shows the neighbourhood and pauses', async (t) => {
  const { grow, model } = log(900)
  await model.load()
  model.pause()
  for (const event of grow(3)) model.receive(event)
  t.is(model.shown.value[0]?.id, 900)
  t.is(model.waitingCount.value, 3)
  await model.jump(200)
  t.is(model.marked.value, 200)
  t.true(model.shown.value.some((event) => event.id === 200))
  t.true(model.paused.value)
  model.resume()
  await settle()
  t.is(model.shown.value[0]?.id, 903)
  t.is(model.waitingCount.value, 0)
})

test('the event model keeps at most a thousand and says when the log cannot be read', async (t) => {
  const { grow, model } = log(10)
  await model.load()
  for (const event of grow(1200)) model.receive(event)
  t.is(model.events.value?.length, 1000)
  const failing = createEventModel({ events: () => Promise.reject(new Error('down')) })
  await failing.load()
  t.is((failing.failure.value as Error).message, 'down')
  t.is(failing.events.value, null)
})

test('the publish form finds what the server would refuse and sends what it would take', (t) => {
  const form = createPublishForm()
  t.false(form.valid.value)
  t.deepEqual(Object.keys(form.problems.value), ['name', 'target'])
  form.name.value = 'wiki'
  form.target.value = ' 3000 '
  t.true(form.valid.value)
  t.deepEqual(form.input.value, { name: 'wiki', target: '3000', allow: ['members'], crossSite: false })
  form.everyone.value = false
  t.truthy(form.problems.value.allow)
  form.subjects.value = 'tag:web,  peer:laptop'
  form.proto.value = 'tcp'
  t.like(form.input.value, { allow: ['tag:web', 'peer:laptop'], proto: 'tcp' })
  form.subjects.value = 'tag:web everyone'
  t.regex(form.problems.value.allow ?? '', /everyone/)
  fc.assert(
    fc.property(fc.string(), fc.string(), fc.string(), (name, target, subjects) => {
      form.name.value = name
      form.target.value = target.slice(0, 1000)
      form.subjects.value = subjects
      return !form.valid.value || PublishInputSchema.safeParse(form.input.value).success
    }),
  )
})

test('peers are found by any word and those in trouble come first', (t) => {
  const peers = new FakeControl().peersNow
  const names = (text: string): string[] => filterPeers(peers, text).map((peer) => peer.name)
  t.deepEqual(names('').slice(0, 2), ['backup-box', 'attic'])
  t.deepEqual(names('TAG:web  alive'), ['attic'])
  t.deepEqual(names('relay laptop'), ['laptop'])
  t.deepEqual(names('nothing'), [])
})

test('a service is healthy, degraded or down by its providers', (t) => {
  const [wiki] = new FakeControl().servicesNow
  t.is(serviceHealth(wiki!), 'degraded')
  t.is(serviceHealth({ ...wiki!, providers: [] }), 'down')
  t.is(serviceHealth({ ...wiki!, providers: wiki!.providers.slice(0, 1) }), 'healthy')
})

test('numbers are written for people', (t) => {
  const cases: [string, string][] = [
    [formatBytes(0), '0 B'],
    [formatBytes(999), '999 B'],
    [formatBytes(1000), '1.0 kB'],
    [formatBytes(999_600), '1.0 MB'],
    [formatBytes(96_468_992), '96.5 MB'],
    [formatBytes(123_456_789), '123 MB'],
    [formatBytes(4.2e9), '4.2 GB'],
    [formatDuration(0), '0 s'],
    [formatDuration(61_000), '1 min 1 s'],
    [formatDuration(3_600_000), '1 h'],
    [formatDuration(93_784_000), '1 d 2 h'],
    [formatDuration(86_400_000 + 60_000), '1 d'],
    [formatAgo(1000, 2000), 'just now'],
    [formatAgo(9000, 2000), 'just now'],
    [formatAgo(0, 3_700_000), '1 h ago'],
    [formatRtt(null), '–'],
    [formatRtt(1.44), '1.4 ms'],
    [formatRtt(212.4), '212 ms'],
    [shortId('short'), 'short'],
    [shortId('12D3KooWGRUVhTuVYp7fCnCKSPBJFhLWDMJZwvCNnZxcXhQhUQ6e'), '12D3KooW…QhUQ6e'],
  ]
  for (const [got, wanted] of cases) t.is(got, wanted)
})

test('the theme goes round and is kept; a broken value means the system decides', (t) => {
  const saved: string[] = []
  const theme = createTheme({ load: () => 'purple', save: (chosen) => saved.push(chosen) })
  t.is(theme.theme.value, 'system')
  theme.next()
  theme.next()
  theme.next()
  t.deepEqual(saved, ['light', 'dark', 'system'])
})

test('an event without text is put into words, and repetitions in a row are counted', (t) => {
  const peers = [{ id: 'id of attic', name: 'attic' }] as Peer[]
  const event = (given: Partial<LogEvent>): LogEvent => ({
    id: 1,
    at: 0,
    kind: 'member.died',
    severity: 'warning',
    peer: null,
    reason: null,
    text: '',
    fields: {},
    ...given,
  })
  const died = event({ peer: 'id of attic' })
  t.is(eventTitle(died, peers), 'Member died: attic')
  t.is(eventTitle(died, null), 'Member died')
  const published = event({ kind: 'service.published', fields: { service: 'wiki' } })
  t.is(eventTitle(published, peers), 'Service published: wiki')
  t.is(eventTitle(event({ text: 'As it says.' }), peers), 'As it says.')
  const about = { peer: 'id of attic', text: 'As it says.' }
  for (const [given, expected] of [
    [{ kind: 'handshake.done' }, 'Connected to attic'],
    [
      { kind: 'handshake.failed', reason: 'clock-skew', fields: { direction: 'inbound', offsetMs: 312_400 } },
      'Handshake from attic failed: the clocks differ (312 s off ours)',
    ],
    [
      { kind: 'handshake.failed', reason: 'x', fields: { direction: 'outbound' } },
      'Handshake with attic failed: as it says',
    ],
    [
      { kind: 'handshake.failed', reason: 'decrypt-failed', peer: null, fields: { direction: 'inbound' } },
      'Handshake from somebody failed: wrong keys or another mesh',
    ],
    [
      { kind: 'connection.refused', peer: null, fields: { from: '/ip4/192.0.2.1/tcp/4' } },
      'A stranger was turned away: /ip4/192.0.2.1/tcp/4',
    ],
    [{ kind: 'rotation.start', fields: { epoch: 3 } }, 'New keys with attic: making epoch 3'],
    [
      { kind: 'rotation.done', fields: { epoch: 3, ms: 8, bytes: 1_400_000 } },
      'New keys with attic: epoch 3, after 8 ms, the old ones carried 1.4 MB',
    ],
    [
      { kind: 'rotation.failed', reason: 'rotation-timeout', text: '', fields: { epoch: 3 } },
      'New keys with attic failed (epoch 3): rotation-timeout',
    ],
    [
      { kind: 'rotation.glare', fields: { won: true } },
      'Both sides began new keys with attic at once: ours went on',
    ],
    [
      { kind: 'channel.downgrade' },
      'A connection with attic used weaker protection than required and was closed',
    ],
    [{ kind: 'session.truncated' }, 'The connection with attic was cut off without a closing record'],
    [{ kind: 'session.failed' }, 'The connection with attic was ended: as it says'],
    [{ kind: 'replay.detected' }, 'A recording of a message from attic was refused: as it says'],
    [{ kind: 'toString' }, 'As it says.'],
  ] as const)
    t.is(eventTitle(event({ ...about, ...given }), peers), expected)
  const rows = summary([died, died, published, died, event({ severity: 'info' })], peers, 3)
  t.deepEqual(
    rows.map(({ title, times }) => `${title} ${times}`),
    ['Member died: attic 2', 'Service published: wiki 1', 'Member died: attic 1'],
  )
})
