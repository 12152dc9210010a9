import './register-jsx.ts'
import { signal } from '@preact/signals'
import test from 'ava'
import { h } from 'preact'
import type { ComponentType, VNode } from 'preact'
import { renderToString } from 'preact-render-to-string'
import type { Api } from '../../ui/src/api.ts'
import { AppContext } from '../../ui/src/context.ts'
import type { App } from '../../ui/src/context.ts'
import { createEventModel } from '../../ui/src/models/event-model.ts'
import { createNodeModel } from '../../ui/src/models/node-model.ts'
import { createTheme } from '../../ui/src/models/theme.ts'
import { FakeControl, setupStatus } from '../node/http/fake-control.ts'

/** Views are .tsx, which only the hook above can load and only the UI's own compiler settings can type. */
async function view(path: string, name: string): Promise<ComponentType<Record<string, unknown>>> {
  const module = (await import(new URL(`../../ui/src/${path}`, import.meta.url).href)) as Record<
    string,
    ComponentType<Record<string, unknown>>
  >
  return module[name]!
}

const Overview = await view('views/overview.tsx', 'Overview')
const Peers = await view('views/peers.tsx', 'Peers')
const Services = await view('views/services.tsx', 'Services')
const Events = await view('views/events.tsx', 'Events')
const Setup = await view('views/setup.tsx', 'Setup')
const LoggedOut = await view('views/logged-out.tsx', 'LoggedOut')
const Problem = await view('parts/problem.tsx', 'Problem')

const control = new FakeControl()

function app(): App {
  const api = { events: () => Promise.resolve([]), session: () => Promise.resolve({}) } as unknown as Api
  const node = createNodeModel({ api, later: () => () => {}, random: () => 0 })
  node.session.value = { role: 'admin', writes: true, expires: 1 }
  return {
    api,
    node,
    events: createEventModel(api),
    theme: createTheme({ load: () => null, save: () => {} }),
    notice: signal(''),
    now: signal(Date.now()),
  }
}

function full(): App {
  const given = app()
  given.node.status.value = control.statusNow
  given.node.peers.value = control.peersNow
  given.node.services.value = control.servicesNow
  given.events.events.value = control.log
  return given
}

function render(given: App, node: VNode): string {
  return renderToString(h(AppContext.Provider, { value: given }, node))
}

test('what needs a person comes before the numbers, with its fix', (t) => {
  const html = render(full(), h(Overview, {}))
  t.true(html.indexOf('2 things need you') < html.indexOf('Peers alive'))
  t.regex(html, /kith root export/)
  t.regex(html, /2 of 4/)
  t.regex(html, /home\.internal/)
  const well = full()
  well.node.status.value = { ...control.statusNow, warnings: [] }
  t.regex(render(well, h(Overview, {})), /Nothing needs you/)
})

test('text a peer chose is only ever text', (t) => {
  const given = full()
  const evil = '<img src=x onerror=alert(1)>\u202e"\'&'
  given.node.peers.value = control.peersNow.map((peer) => ({ ...peer, name: evil, tags: [evil] }))
  given.node.services.value = control.servicesNow.map((service) => ({
    ...service,
    name: evil,
    target: evil,
    allowed: [evil],
    providers: [{ peer: evil, name: evil, healthy: true, rttMs: 1 }],
  }))
  given.events.events.value = control.log.map((event) => ({
    ...event,
    kind: evil,
    text: evil,
    reason: evil,
    fields: { [evil]: evil },
  }))
  for (const View of [Overview, Peers, Services, Events]) {
    const html = render(given, h(View, {}))
    t.notRegex(html, /<img/)
  }
  t.regex(
    render(given, h(Peers, {})),
    /<bdi class="name">&lt;img/,
    'and a right-to-left mark does not turn what follows',
  )
})

test('each list has a loading and an empty state', (t) => {
  for (const [View, empty] of [
    [Peers, /No other machine yet/],
    [Services, /Nothing is published yet/],
    [Events, /Nothing has happened yet/],
  ] as const) {
    t.regex(render(app(), h(View, {})), /class="loading" role="status"/)
    const none = app()
    none.node.status.value = control.statusNow
    none.node.peers.value = []
    none.node.services.value = []
    none.events.events.value = []
    t.regex(render(none, h(View, {})), empty)
  }
  const failing = app()
  failing.events.failure.value = new Error('The log cannot be read.')
  t.regex(render(failing, h(Events, {})), /role="alert".*The log cannot be read/s)
})

test('states are words, not only colours', (t) => {
  const html = render(full(), h(Peers, {}))
  for (const word of ['alive', 'suspect', 'dead', 'direct', 'via']) t.true(html.includes(word), word)
  t.regex(render(full(), h(Services, {})), /partly healthy/)
})

test('who may only look finds the buttons disabled', (t) => {
  const reader = full()
  reader.node.session.value = { role: 'admin', writes: false, expires: 1 }
  t.regex(render(reader, h(Overview, {})), /<button[^>]*disabled[^>]*>.*Invite a machine/s)
  t.regex(render(reader, h(Services, {})), /<button[^>]*disabled[^>]*aria-label="Unpublish photos"/)
  t.notRegex(render(full(), h(Services, {})), /aria-label="Unpublish wiki"/, 'only what this node publishes')
})

test('the first screen offers to found or to join', (t) => {
  const given = app()
  given.node.status.value = setupStatus()
  const html = render(given, h(Setup, {}))
  t.regex(html, /Start a mesh/)
  t.regex(html, /Join a mesh/)
  t.regex(html, /wiki\.home\.internal/)
  given.node.status.value = { ...setupStatus(), state: 'joining' }
  t.regex(render(given, h(Setup, {})), /Joining/)
})

test('the logged-out page says how to get in, a problem what to do', (t) => {
  t.regex(render(app(), h(LoggedOut, {})), /kith ui/)
  const error = { message: 'The name wiki belongs to attic.', fix: 'Take another name.', code: 'name-taken' }
  const html = render(app(), h(Problem, { error }))
  t.regex(html, /role="alert".*belongs to attic.*Take another name.*name-taken/s)
})
