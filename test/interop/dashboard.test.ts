import { createServer, request } from 'node:http'
import type { IncomingHttpHeaders, Server } from 'node:http'
import { writeFileSync } from 'node:fs'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import test from 'ava'
import { chromium } from 'playwright-core'
import type { Browser, Page } from 'playwright-core'
import { WebSocketServer } from 'ws'
import type { LogEvent, Service } from '../../node/api/schemas.ts'
import { realNameArguments } from '../../node/cli/browser.ts'
import {
  buildDashboard,
  CHROMIUM,
  CHROMIUM_ARGUMENTS,
  isChromiumMissing,
  launchChromium,
} from '../ui/chromium.ts'
import { attack } from '../ui/attack.ts'
import { go, inspect, sitDown, startAgain, type Desk } from './desk.ts'
import { Lab, type LabNode } from './lab.ts'

/*
 * The first hour with two real nodes, done with nothing but their dashboards in a real browser; then what pages of others,
 * published services included, must not be able to do.
 */

/** What membership promises: three silent seconds make a suspect, a lost connection that nobody takes up again a dead one. */
const NOTICED_MAX_MS = 10_000

const story = isChromiumMissing ? test.serial.skip : test.serial
if (isChromiumMissing) process.stderr.write(`dashboard: skipped, needs ${CHROMIUM}\n`)

let lab: Lab
let browser: Browser
let target: Target
let a: Desk
let b: Desk

if (!isChromiumMissing) {
  test.before(async (t) => {
    t.timeout(60_000)
    await buildDashboard()
    lab = new Lab()
    target = await startTarget()
    browser = await launchChromium()
  })
  test.afterEach.always((t) => {
    if (t.passed) return
    for (const desk of [a, b])
      if (desk !== undefined) t.log(`log of ${desk.node.name}:\n${desk.node.log().slice(-1500)}`)
  })
  test.after.always(async () => {
    await browser?.close()
    await target?.stop()
    await lab?.close()
  })
}

story('the wizard founds a mesh, and its login link works once', async (t) => {
  a = await sitDown(lab, browser, 'a')
  const { page } = a
  t.is(await page.locator('h1').textContent(), 'Welcome to Kith')
  await inspect(t, page, 'setup')
  t.is(await page.getByLabel('Name of the mesh').inputValue(), 'home')
  await page.click('button:text-is("Start the mesh")')
  await page.waitForSelector('h1:text-is("a")')
  t.regex((await page.locator('header.page').textContent()) ?? '', /in the mesh home · home\.internal/)
  await page.waitForSelector('.latest li')
  await inspect(t, page, 'overview alone')
  for (const [screen, empty] of [
    ['Peers', 'No other machine yet'],
    ['Network', 'No other machine yet'],
    ['Services', 'Nothing is published yet'],
  ] as const) {
    await go(page, screen)
    await page.waitForSelector(`h2:text-is("${empty}")`)
    await inspect(t, page, `${screen} empty`)
  }

  const again = await a.context.newPage()
  t.is((await again.goto(a.node.ready.ui?.url ?? ''))?.status(), 410)
  t.regex((await again.textContent('main')) ?? '', /spent/)
  await inspect(t, again, 'spent link')
  await again.close()
  t.true((await eventsOf(a.node)).some(({ kind }) => kind === 'auth.failed'))
})

story('an invite made in one dashboard is pasted into another, and both see each other live', async (t) => {
  await go(a.page, 'Overview')
  await a.context.grantPermissions(['clipboard-read', 'clipboard-write'], { origin: a.origin })
  await a.page.click('button:has-text("Invite a machine")')
  await a.page.waitForSelector('dialog form')
  await inspect(t, a.page, 'invite form')
  await a.page.click('button:text-is("Make the invite")')
  await a.page.click('button[aria-label="Copy the invite"]')
  const invite: string = await a.page.evaluate('navigator.clipboard.readText()')
  t.regex(invite, /^kith:\/\/join\//)
  t.is(await a.page.getByLabel('Invite link').inputValue(), invite)
  await inspect(t, a.page, 'invite')
  await a.page.click('button:text-is("Done")')
  await go(a.page, 'Peers')

  b = await sitDown(lab, browser, 'b')
  await b.page.getByLabel('Invite').fill(` ${invite}\n`)
  await b.page.click('button:text-is("Join")')
  await b.page.waitForSelector('h1:text-is("b")')
  await go(b.page, 'Peers')
  for (const [desk, other] of [
    [a, 'b'],
    [b, 'a'],
  ] as const) {
    await desk.page.waitForSelector(`tr:has(.name:text-is("${other}")) .badge:text-is("alive")`)
    await inspect(t, desk.page, `peers on ${desk.node.name}`)
  }
  await b.page.click('button[aria-label="Why a?"]')
  await b.page.waitForSelector('.reasons')
  t.regex(
    (await b.page.locator('dialog').textContent()) ?? '',
    /reachable.*direct.*a answered in.*The way there/s,
  )
  await inspect(t, b.page, 'why a')
  await b.page.keyboard.press('Escape')
  await go(b.page, 'Network')
  // A line straight down has no width, which counts as hidden.
  await b.page.waitForSelector('svg[role=img] line.direct', { state: 'attached' })
  t.is(
    await b.page
      .locator('.node title')
      .allTextContents()
      .then((names) => names.join(' ')),
    'b a',
  )
  await b.page.click('button:text-is("Measure now")')
  // On one machine nobody sees this node from outside, which is an answer too.
  await b.page.waitForSelector('header.page button:text-is("Measure now")')
  await b.page.waitForSelector('text=nat-not-seen')
  await b.page.waitForSelector('text=Not measured yet: no other member could be asked')
  await b.page.click('summary:text-is("The same as a list")')
  t.regex((await b.page.locator('.ways').textContent()) ?? '', /^a direct, .* ms/)
  await inspect(t, b.page, 'network')
})

story('what one dashboard publishes opens from the other, WebSocket included', async (t) => {
  await go(b.page, 'Services')
  await go(a.page, 'Services')
  await a.page.click('button:text-is("Publish")')
  await inspect(t, a.page, 'publish form')
  await a.page.getByLabel('Name').fill('wiki')
  await a.page.getByLabel('Target').fill(String(target.port))
  await a.page.keyboard.press('Enter')
  await card(a.page, 'wiki').waitFor()
  const site = lab.folder('site')
  writeFileSync(join(site, 'index.html'), '<!doctype html><title>Notes</title><h1>Notes</h1>')
  await publish(a.page, 'notes', site)
  await card(b.page, 'wiki').waitFor()
  await card(b.page, 'notes').waitFor()
  await inspect(t, a.page, 'services on a')
  await inspect(t, b.page, 'services on b')

  const [opened] = await Promise.all([
    b.context.waitForEvent('page'),
    card(b.page, 'wiki').locator('a.open').click(),
  ])
  await opened.waitForSelector('h1:text-is("The wiki")')
  t.is(await opened.evaluate(echo, 'héllo'), 'héllo')
  t.is(await opened.evaluate('document.referrer'), '', 'the dashboard does not say where it lives')
  await opened.close()

  await b.page.click('button[aria-label="Why wiki?"]')
  await b.page.waitForSelector('.reasons')
  t.regex((await b.page.locator('dialog').textContent()) ?? '', /reachable.*direct/s)
  await inspect(t, b.page, 'why wiki')
  await b.page.keyboard.press('Escape')
  t.deepEqual([a.wrongs, b.wrongs], [[], []])
})

story('the real name opens in a browser started the way `kith open` does', async (t) => {
  const { url } = await serviceOn(b.node, 'wiki')
  t.regex(url, /^http:\/\/wiki\.home\.internal:\d+$/)
  const profile = lab.folder('profile')
  const given = realNameArguments({ url, domain: 'home.internal', gateway: '127.0.0.1', profile })
  const context = await chromium.launchPersistentContext(profile, {
    executablePath: CHROMIUM,
    args: [
      ...CHROMIUM_ARGUMENTS,
      ...given.filter((one) => !one.startsWith('--user-data-dir=') && one !== url),
    ],
  })
  const page = await context.newPage()
  await page.goto(url)
  await page.waitForSelector('h1:text-is("The wiki")')
  t.is(await page.evaluate('location.host'), new URL(url).host)
  t.is(await page.evaluate(echo, 'by name'), 'by name')
  await context.close()
})

story(
  'pages of others, services of the mesh included, get nothing from the dashboard nor from each other',
  async (t) => {
    const wiki = await serviceOn(b.node, 'wiki')
    const notes = await serviceOn(b.node, 'notes')
    const before = await eventsOf(b.node)
    const rebound = await b.context.newPage()
    const { port } = new URL(b.origin)
    t.is((await rebound.goto(`http://rebound.localhost:${port}/`))?.status(), 421)
    await inspect(t, rebound, 'rebound')
    t.is((await ask(b.origin, { host: `evil.example:${port}` })).status, 421, 'a name bound to 127.0.0.1')
    const cookie = (await b.context.cookies(b.origin)).map(({ name, value }) => `${name}=${value}`).join(';')
    const forged = { cookie, origin: 'http://evil.example', 'content-type': 'application/json' }
    t.is((await ask(`${b.origin}/api/v1/services`, forged, 'POST')).status, 403)

    // The same name on another port shares the cookie; a service of the mesh shares the browser and the machine.
    const label = new URL(b.origin).hostname
    const places = [
      `http://${label}:${target.port}`,
      `http://evil.localhost:${target.port}`,
      wiki.localUrl ?? '',
    ]
    for (const place of places) {
      await rebound.goto(place)
      await rebound.waitForSelector('h1:text-is("The wiki")')
      const outcome = await rebound.evaluate(attack, b.origin)
      t.deepEqual(outcome, { read: 'refused', socket: 'refused', frame: 'refused' }, place)
    }
    const seen = await rebound.evaluate(attack, notes.localUrl ?? '')
    t.deepEqual(seen, { read: 'refused', socket: 'refused', frame: 'refused' }, 'one service to another')
    await rebound.close()

    const services = await b.node.json<Service[]>('services')
    t.deepEqual(services.map(({ name }) => name).sort(), ['notes', 'wiki'], 'nothing was published by them')
    const logged = (await eventsOf(b.node))
      .slice(before.length)
      .map(({ kind, reason }) => `${kind} ${reason}`)
    for (const wanted of [
      'host.denied host-denied',
      'csrf.denied origin-denied',
      'gateway.denied cross-site-refused',
    ])
      t.true(logged.includes(wanted), `${wanted} in ${logged.join(', ')}`)
    await go(b.page, 'Events')
    const refusal = b.page.locator('details', { hasText: 'cross-site-refused' }).first()
    await refusal.locator('summary').click()
    await refusal.locator('code:text-is("cross-site-refused")').waitFor()
    await inspect(t, b.page, 'events')
  },
)

story('a stopped target and a dead provider are told where they are met', async (t) => {
  t.timeout(60_000)
  await go(b.page, 'Overview')
  await inspect(t, b.page, 'overview')
  const { localUrl } = await serviceOn(b.node, 'wiki')
  const tab = await b.context.newPage()
  t.is((await tab.goto(localUrl ?? ''))?.status(), 200)
  await target.pause()
  // At once: the gateway still keeps the tunnel of the answer above.
  const answer = await tab.reload()
  t.is(answer?.status(), 502)
  t.is(answer?.headers()['x-kith-reason'], 'target-refused')
  t.regex((await tab.textContent('main')) ?? '', /502 target-refused/)
  await inspect(t, tab, 'gateway 502')
  await target.resume()
  t.is((await tab.reload())?.status(), 200)

  await go(b.page, 'Peers')
  const killedAt = performance.now()
  await a.node.kill()
  await b.page.waitForSelector('tr:has(.name:text-is("a")) .badge:text-matches("suspect|dead")')
  const noticedMs = performance.now() - killedAt
  await inspect(t, b.page, 'peers, a suspect')
  await b.page.waitForSelector('tr:has(.name:text-is("a")) .badge:text-is("dead")')
  const deadMs = performance.now() - killedAt
  t.log(`noticed after ${Math.round(noticedMs)} ms, dead after ${Math.round(deadMs)} ms`)
  t.true(noticedMs < NOTICED_MAX_MS)
  await inspect(t, b.page, 'peers, a dead')
  await go(b.page, 'Services')
  await card(b.page, 'wiki').locator('.badge:text-is("nobody answers")').waitFor()
  await inspect(t, b.page, 'services, a dead')
  await b.page.click('button[aria-label="Why wiki?"]')
  await b.page.waitForSelector('.reasons')
  await inspect(t, b.page, 'why wiki, a dead')
  await b.page.keyboard.press('Escape')
  t.is((await tab.reload())?.status(), 502)
  await inspect(t, tab, 'gateway, a dead')
  await go(b.page, 'Overview')
  await inspect(t, b.page, 'overview, a dead')
  await a.page.waitForSelector('text=Connection lost')
  await inspect(t, a.page, 'connection lost')

  await startAgain(a)
  await go(b.page, 'Services')
  await card(b.page, 'wiki').locator('header .badge:text-is("healthy")').waitFor()
  await go(b.page, 'Peers')
  await b.page.waitForSelector('tr:has(.name:text-is("a")) .badge:text-is("alive")')
  t.is((await tab.reload())?.status(), 200)
  await tab.close()
})

story('the open tab of a restarted node is live again, and unpublishing is asked about first', async (t) => {
  await a.page.waitForSelector('text=Connection lost', { state: 'detached', timeout: 20_000 })
  await go(b.page, 'Services')
  await go(a.page, 'Services')
  await a.page.click('button[aria-label="Unpublish wiki"]')
  await inspect(t, a.page, 'unpublish')
  await a.page.click('button:text-is("Keep it")')
  t.is(await card(a.page, 'wiki').count(), 1)
  await a.page.click('button[aria-label="Unpublish wiki"]')
  await a.page.click('dialog button.primary')
  await card(b.page, 'wiki').waitFor({ state: 'detached' })
  await card(a.page, 'wiki').waitFor({ state: 'detached' })
  t.is(await card(b.page, 'notes').count(), 1)
  await a.page.click('button[aria-label="Log out"]')
  await a.page.waitForSelector('text=You are logged out')
  t.deepEqual(
    [...a.wrongs, ...b.wrongs].filter(
      (wrong) => !/ERR_CONNECTION_REFUSED|WebSocket connection to/.test(wrong),
    ),
    [],
  )
})

function card(page: Page, service: string) {
  return page.locator(`.service:has(bdi:text-is("${service}"))`)
}

async function publish(page: Page, name: string, what: string): Promise<void> {
  await page.click('button:text-is("Publish")')
  await page.getByLabel('Name').fill(name)
  await page.getByLabel('Target').fill(what)
  await page.keyboard.press('Enter')
  await card(page, name).waitFor()
}

async function serviceOn(node: LabNode, name: string): Promise<Service> {
  const service = (await node.client.get<Service[]>('/services')).find((one) => one.name === name)
  if (service === undefined) throw new Error(`${node.name} knows no ${name}`)
  return service
}

function eventsOf(node: LabNode): Promise<LogEvent[]> {
  return node.json<LogEvent[]>('events')
}

/** One request as a program sends it, with exactly these headers. */
function ask(
  url: string,
  headers: IncomingHttpHeaders,
  method = 'GET',
): Promise<{ status: number | undefined }> {
  const { host, port, pathname } = new URL(url)
  return new Promise((resolve, reject) => {
    const all = { host, ...headers }
    const asked = request({ host: '127.0.0.1', port, path: pathname, method, headers: all }, (response) => {
      response.resume()
      resolve({ status: response.statusCode })
    })
    asked.on('error', reject)
    asked.end(method === 'POST' ? '{"name":"evil","target":"1"}' : undefined)
  })
}

/** Runs in a page of the service: what comes back over its WebSocket. */
const echo = (text: string): Promise<string> =>
  new Promise((resolve, reject) => {
    const socket = new WebSocket(
      `ws://${(globalThis as unknown as { location: { host: string } }).location.host}/echo`,
    )
    socket.onopen = () => socket.send(text)
    socket.onmessage = (event) => resolve(String(event.data))
    socket.onerror = () => reject(new Error('no WebSocket'))
  })

/** The program behind the service "wiki", which can be stopped and started again on its port. */
interface Target {
  readonly port: number
  /** The Cookie header of each request so far. */
  cookies(): (string | undefined)[]
  pause(): Promise<void>
  resume(): Promise<void>
  stop(): Promise<void>
}

async function startTarget(): Promise<Target> {
  const cookies: (string | undefined)[] = []
  const server: Server = createServer((asked, response) => {
    cookies.push(asked.headers.cookie)
    response.setHeader('Content-Type', 'text/html; charset=utf-8')
    response.end('<!doctype html><html lang="en"><title>Wiki</title><h1>The wiki</h1>')
  })
  const sockets = new WebSocketServer({ server, path: '/echo' })
  sockets.on('connection', (socket) =>
    socket.on('message', (data) => void socket.send((data as Buffer).toString())),
  )
  const listen = (port: number): Promise<void> =>
    new Promise((resolve) => void server.listen(port, '127.0.0.1', () => resolve()))
  const close = (): Promise<void> => {
    server.closeAllConnections()
    return new Promise((resolve) => void server.close(() => resolve()))
  }
  await listen(0)
  const { port } = server.address() as AddressInfo
  return { port, cookies: () => cookies, pause: close, resume: () => listen(port), stop: close }
}
