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
const Network = await view('views/network.tsx', 'Network')
const Members = await view('views/members.tsx', 'Members')
const Services = await view('views/services.tsx', 'Services')
const Events = await view('views/events.tsx', 'Events')
const Player = await view('views/player.tsx', 'Player')
const Sidebar = await view('views/sidebar.tsx', 'Sidebar')
const Setup = await view('views/setup.tsx', 'Setup')
const LoggedOut = await view('views/logged-out.tsx', 'LoggedOut')
const Problem = await view('parts/problem.tsx', 'Problem')

const control = new FakeControl()

function app(): App {
  const api = {
    events: () => Promise.resolve([]),
    session: () => Promise.resolve({}),
    netcheck: () => Promise.resolve(control.netcheckNow),
  } as unknown as Api
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
  given.node.members.value = control.membersNow
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
  given.node.members.value = control.membersNow.map((member) => ({
    ...member,
    name: evil,
    tags: [evil],
    revoked: { at: 1, reason: evil, by: evil },
  }))
  for (const View of [Overview, Peers, Network, Members, Services, Events]) {
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
    [Network, /No other machine yet/],
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
  for (const View of [Members, Network]) t.regex(render(app(), h(View, {})), /class="loading" role="status"/)
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

test('members: who waits is on top and counted, who was revoked says when and why, and nobody is offered what fails', (t) => {
  const given = full()
  const revoked = { at: 1_790_000_000_000, reason: 'lost on a train', by: control.membersNow[0]!.id }
  const gone = {
    ...control.membersNow[2]!,
    id: '12D3KooWgone',
    name: 'old',
    state: 'revoked' as const,
    revoked,
  }
  given.node.members.value = [...control.membersNow, gone]
  const html = render(given, h(Members, {}))
  t.true(html.indexOf('One machine waits for you') < html.indexOf('<table'))
  t.regex(html, /aria-label="Approve guest".*aria-label="Turn guest away"/s)
  t.regex(html, /revoked.*2026.*by.*attic.*“lost on a train”/s)
  t.regex(html, /aria-label="Revoke phone"/)
  for (const name of ['here', 'old', 'guest']) t.notRegex(html, new RegExp(`aria-label="Revoke ${name}"`))
  t.regex(
    render(given, h(Sidebar, { path: '/', inSetup: false })),
    /1<span class="hidden"> waiting for approval/,
  )

  const plain = full()
  const [attic, here, ...others] = control.membersNow
  plain.node.members.value = [attic!, { ...here!, authority: null }, ...others]
  const refused = render(plain, h(Members, {}))
  t.regex(refused, /no authority that may let machines in\. attic may\./)
  t.regex(refused, /no authority that may revoke members\. attic may\./)
  for (const offer of [/aria-label="Revoke/, /Invite a machine/]) t.notRegex(refused, offer)
  t.notRegex(render(plain, h(Overview, {})), /Invite a machine/)

  const reader = full()
  reader.node.session.value = { role: 'admin', writes: false, expires: 1 }
  const looked = render(reader, h(Members, {}))
  for (const label of ['Approve guest', 'Turn guest away', 'Revoke phone'])
    t.regex(looked, new RegExp(`<button[^>]*disabled[^>]*aria-label="${label}"`))
})

test('the player asks for a file first, and says that it stays here', (t) => {
  const html = render(app(), h(Player, {}))
  t.regex(html, /type="file"/)
  t.regex(html, /does not leave this browser/)
})

test('a machine that waits, or was revoked, is told so where it would join', (t) => {
  const given = app()
  const fix = 'A revoked node comes back only under a new identity.'
  const warning = { code: 'certificate-revoked', severity: 'alert' as const, text: 'It was revoked.', fix }
  given.node.status.value = { ...setupStatus(), warnings: [warning] }
  t.regex(
    render(given, h(Setup, {})),
    /This machine was revoked.*has revoked it.*new identity.*certificate-revoked.*It was revoked\./s,
  )
  const waits = {
    code: 'join-pending',
    severity: 'notice' as const,
    text: 'It waits.',
    fix: 'Run `kith approve NODE`.',
  }
  given.node.status.value = { ...setupStatus(), state: 'joining', warnings: [waits] }
  t.regex(render(given, h(Setup, {})), /Joining….*It waits\..*<code>kith approve NODE<\/code>/s)
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
