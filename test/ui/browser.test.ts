import { createServer } from 'node:http'
import type { Server } from 'node:http'
import { readdirSync, readFileSync, writeFileSync } from 'node:fs'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { gzipSync } from 'node:zlib'
import test from 'ava'
import type { ExecutionContext } from 'ava'
import type { Browser, BrowserContext, Page } from 'playwright-core'
import { KithError } from '../../protocols/common/errors.ts'
import { attack } from './attack.ts'
import { LABEL, start } from '../node/http/fixture.ts'
import type { Fixture } from '../node/http/fixture.ts'
import { setupStatus } from '../node/http/fake-control.ts'
import {
  buildDashboard,
  CHROMIUM,
  DIST,
  faultsOf,
  isChromiumMissing as missing,
  launchChromium,
  watchPage,
} from './chromium.ts'
import { writeTrace } from './traced-run.ts'
import { temporaryFolder } from '../temporary-folder.ts'

/** DESIGN budgets: the shell, and any one route with all it loads. */
const SHELL_SIZE_BYTES_MAX = 20_000
const ROUTE_SIZE_BYTES_MAX = 60_000

const browserTest = missing ? test.serial.skip : test.serial
let browser: Browser
let kith: Fixture
let folder: string
let traceFile: string

test.before(async () => {
  await buildDashboard()
  kith = await start({ assetsDir: DIST })
  folder = temporaryFolder()
  if (missing) return
  traceFile = join(folder, 'kill.ndjson')
  const faults = [
    { at: 10, kind: 'partition', select: { indices: [1, 2] }, until: 20 },
    { at: 25, kind: 'kill', select: { indices: [4] } },
  ]
  writeTrace(traceFile, { nodes: 9, seconds: 60, faults })
  browser = await launchChromium()
})

test.after.always(async () => {
  await browser?.close()
  await kith?.[Symbol.asyncDispose]()
})

test('the browser tests have a browser', (t) => {
  if (missing) t.log(`skipped: no ${CHROMIUM}; apt-get install --no-install-recommends chromium`)
  t.pass()
})

/** A tab that records what must not happen: console errors, page errors, requests to anywhere else. */
async function tab(
  options: Parameters<Browser['newContext']>[0] = {},
): Promise<{ context: BrowserContext; page: Page; wrongs: string[] }> {
  const context = await browser.newContext(options)
  context.setDefaultTimeout(15_000)
  const page = await context.newPage()
  const wrongs = watchPage(page, kith.origin)
  return { context, page, wrongs }
}

async function loggedIn(options: Parameters<Browser['newContext']>[0] = {}) {
  const opened = await tab(options)
  await opened.page.goto(kith.dashboard.mintLoginLink().url)
  await opened.page.waitForSelector('h1')
  return opened
}

async function axe(t: ExecutionContext, page: Page, label: string): Promise<void> {
  t.deepEqual(await faultsOf(page), [], label)
}

test('the shell and every route stay within their budgets', (t) => {
  const zipped = (file: string): number => gzipSync(readFileSync(join(DIST, file)), { level: 9 }).length
  const html = readFileSync(join(DIST, 'index.html'), 'utf8')
  const first = [...html.matchAll(/(?:src|href)="\/([^"]+\.(?:js|css))"/g)].map((match) => match[1]!)
  t.true(first.length >= 3)
  const shell = first.reduce((sum, file) => sum + zipped(file), 0)
  const assets = readdirSync(join(DIST, 'assets'))
  const styles = assets.filter((file) => file.endsWith('.css'))
  /** A script and all it may load, dialogs too; the shell loads every screen. */
  const loaded = (file: string, found = new Set<string>()): Set<string> => {
    if (found.has(file)) return found
    found.add(file)
    const isShell = first.includes(`assets/${file}`)
    const text = isShell ? '' : readFileSync(join(DIST, 'assets', file), 'utf8')
    for (const [, name] of text.matchAll(/["'`]\.\/([\w-]+\.js)["'`]/g)) loaded(name!, found)
    return found
  }
  const sizes = assets
    .filter((file) => file.endsWith('.js') && !first.includes(`assets/${file}`))
    .map((file) => {
      const scripts = [...loaded(file)].filter((name) => !first.includes(`assets/${name}`))
      const sheets = styles.filter((name) => !first.includes(`assets/${name}`))
      return [...scripts, ...sheets].reduce((sum, name) => sum + zipped(`assets/${name}`), shell)
    })
  t.true(
    assets.some((file) => file.startsWith('player')),
    'the player is a chunk of its own',
  )
  t.log(`shell ${shell} bytes gzip, the largest route ${Math.max(...sizes)}`)
  t.true(shell <= SHELL_SIZE_BYTES_MAX, `shell ${shell}`)
  t.true(sizes.length > 5 && Math.max(...sizes) <= ROUTE_SIZE_BYTES_MAX)
  t.notRegex(html, /<script(?![^>]*src=)|<style|style=|https?:\/\//, 'nothing inline, nothing from elsewhere')
})

for (const [width, height] of [
  [1280, 800],
  [360, 740],
] as const) {
  for (const colorScheme of ['light', 'dark'] as const) {
    browserTest(
      `every screen at ${width} px in ${colorScheme} is accessible, quiet and stays at home`,
      async (t) => {
        const { context, page, wrongs } = await loggedIn({
          viewport: { width, height },
          colorScheme,
          reducedMotion: 'reduce',
        })
        t.is(page.url(), `${kith.origin}/`, 'the token is gone from the address')
        await page.waitForSelector('.latest li')
        await axe(t, page, 'overview')
        for (const screen of ['Peers', 'Network', 'Members', 'Services', 'Events']) {
          await page.click(`nav a:has-text("${screen}")`)
          await page.waitForSelector(`h1:text-is("${screen}")`)
          await page.waitForSelector('tbody tr, .cards li, .events li')
          await axe(t, page, screen)
        }
        await page.click('.events summary')
        await page.waitForSelector('.events dd')
        await axe(t, page, 'an event opened')
        await page.click('nav a:has-text("Services")')
        await page.click('button:text-is("Publish")')
        await page.click('dialog button[type=submit]')
        await page.waitForSelector('.wrong')
        await axe(t, page, 'publish dialog with errors')
        await page.keyboard.press('Escape')
        await page.click('button[aria-label="Unpublish photos"]')
        await axe(t, page, 'unpublish dialog')
        await page.keyboard.press('Escape')
        await page.click('button[aria-label="Why wiki?"]')
        await page.waitForSelector('.tried')
        await axe(t, page, 'why dialog')
        await page.keyboard.press('Escape')
        await page.click('nav a:has-text("Overview")')
        await page.click('button:has-text("Invite a machine")')
        await page.waitForSelector('dialog form')
        await axe(t, page, 'invite form')
        await page.click('dialog button[type=submit]')
        await page.waitForSelector('.qr')
        await axe(t, page, 'invite')
        await page.keyboard.press('Escape')
        await page.goto(`${kith.origin}/members`)
        await page.waitForSelector('.authorities li')
        await axe(t, page, 'members')
        for (const [button, label] of [
          ['button[aria-label="Revoke attic"]', 'revoke dialog of an authority'],
          ['button:text-is("How to add one")', 'how to add an authority'],
          ['button[aria-label="How to retire attic"]', 'how to retire an authority'],
        ] as const) {
          await page.click(button)
          await page.waitForSelector('dialog[open]')
          await axe(t, page, label)
          await page.keyboard.press('Escape')
          await page.waitForSelector('dialog', { state: 'detached' })
        }
        await page.click('button:has-text("Invite a machine")')
        await page.click('dialog label:has-text("Only one machine")')
        await page.click('dialog summary')
        await page.click('dialog button[type=submit]')
        await page.waitForSelector('.wrong')
        await axe(t, page, 'invite form for one machine, with errors')
        await page.keyboard.press('Escape')
        await page.goto(`${kith.origin}/player`)
        await page.setInputFiles('input[type=file]', traceFile)
        await page.waitForSelector('text=9 of 9 nodes up')
        await axe(t, page, 'player')
        await page.goto(`${kith.origin}/nowhere`)
        await page.waitForSelector('text=Nothing here')
        await axe(t, page, 'not found')
        const was = kith.control.statusNow
        kith.control.statusNow = setupStatus()
        kith.control.change('status')
        await page.waitForSelector('.welcome')
        await axe(t, page, 'setup')
        kith.control.statusNow = was
        kith.control.change('status')
        await page.waitForSelector('nav')
        await page.click('button[aria-label="Log out"]')
        await page.waitForSelector('text=You are logged out')
        await axe(t, page, 'logged out')
        t.deepEqual(wrongs, [])
        await context.close()
      },
    )
  }
}

browserTest('a service is published and unpublished, and errors are said where they belong', async (t) => {
  const { context, page, wrongs } = await loggedIn()
  await page.goto(`${kith.origin}/services`)
  await page.click('button:text-is("Publish")')
  await page.getByLabel('Name').fill('acme')
  await page.getByLabel('Target').fill('8080')
  await page.keyboard.press('Enter')
  const problem = page.locator('.problem')
  await problem.waitFor()
  t.regex((await problem.textContent()) ?? '', /acme is reserved.*Take another name.*name-reserved/s)
  await page.getByLabel('Name').fill('blog')
  await page.getByText('Only some').click()
  await page.getByLabel('These').fill('tag:family')
  await page.keyboard.press('Enter')
  await page.waitForSelector('bdi:text-is("blog")')
  t.like(kith.control.calls.findLast(([name]) => name === 'publish')?.[1], {
    name: 'blog',
    target: '8080',
    allow: ['tag:family'],
  })
  await page.click('button[aria-label="Unpublish blog"]')
  await page.click('dialog button:text-is("Keep it")')
  t.is(await page.locator('bdi:text-is("blog")').count(), 1)
  await page.click('button[aria-label="Unpublish blog"]')
  await page.click('dialog button.primary')
  await page.waitForSelector('bdi:text-is("blog")', { state: 'detached' })
  t.is(await page.evaluate('document.activeElement.tagName'), 'BODY')
  // The refusal is an answer of 400, which Chromium also writes to its console.
  t.deepEqual(
    wrongs.filter((wrong) => !/400 \(Bad Request\)/.test(wrong)),
    [],
  )
  await context.close()
})

browserTest('the first run is done with the keyboard alone', async (t) => {
  const was = kith.control.statusNow
  kith.control.statusNow = setupStatus()
  kith.control.change('status')
  const { context, page, wrongs } = await loggedIn()
  await page.waitForSelector('.welcome')
  const focused = (): Promise<string> =>
    page.evaluate('document.activeElement.textContent || document.activeElement.tagName')
  for (let i = 0; i < 12 && (await focused()) !== 'INPUT'; i++) await page.keyboard.press('Tab')
  await page.keyboard.press('Control+A')
  await page.keyboard.type('cabin')
  t.is(await page.locator('.hint b').first().textContent(), 'wiki.cabin.internal')
  await page.keyboard.press('Enter')
  await page.waitForSelector('nav')
  t.deepEqual(kith.control.calls.findLast(([name]) => name === 'found')?.[1], { name: 'cabin' })
  await page.keyboard.press('Tab')
  t.deepEqual(wrongs, [])
  kith.control.statusNow = was
  await context.close()
})

browserTest('the page follows the node, says when it is gone and comes back', async (t) => {
  const own = await start({ assetsDir: DIST })
  const context = await browser.newContext()
  const page = await context.newPage()
  await page.goto(own.dashboard.mintLoginLink().url)
  await page.goto(`${own.origin}/events`)
  await page.waitForSelector('.events li')
  own.control.emit({ kind: 'test.live', severity: 'alert', text: 'It happened just now.' })
  await page.waitForSelector('text=It happened just now.')
  await page.click('button:text-is("Pause")')
  own.control.emit({ kind: 'test.later', severity: 'info', text: 'And then this.' })
  await page.waitForSelector('button:has-text("1 new")')
  t.is(await page.locator('text=And then this.').count(), 0)
  await page.click('button:has-text("1 new")')
  await page.waitForSelector('text=And then this.')
  await own[Symbol.asyncDispose]()
  await page.waitForSelector('text=Connection lost')
  t.is((await page.locator('.events li').count()) > 0, true, 'what was known stays')
  await context.close()
})

browserTest(
  'events are filtered by kind, peer and severity, and opened for what the log holds of them',
  async (t) => {
    const own = await start({ assetsDir: DIST })
    const context = await browser.newContext()
    context.setDefaultTimeout(15_000)
    const page = await context.newPage()
    const wrongs = watchPage(page, own.origin)
    const [attic, laptop] = own.control.peersNow
    const text = '<img src=x onerror=alert(1)>'
    own.control.emit({
      kind: 'rotation.failed',
      severity: 'warning',
      peer: laptop!.id,
      reason: 'rotation-timeout',
      text,
      fields: { epoch: 4, ms: 10_000 },
    })
    for (let i = 0; i < 250; i++)
      own.control.emit({ kind: 'member.alive', severity: 'info', peer: attic!.id })
    await page.goto(own.dashboard.mintLoginLink().url)
    await page.waitForSelector('.latest li')
    await page.goto(`${own.origin}/events`)
    const rows = page.locator('.events li')
    await rows.first().waitFor()
    t.is(await rows.count(), 200)
    await page.getByLabel('Kind').fill('rotation')
    await page.keyboard.press('Enter')
    await until(async () => (await rows.count()) === 2)
    t.regex((await rows.first().textContent()) ?? '', /New keys with laptop failed \(epoch 4\)/)
    own.control.emit({ kind: 'member.died', severity: 'warning' })
    own.control.emit({
      kind: 'rotation.done',
      severity: 'info',
      peer: attic!.id,
      fields: { epoch: 13, ms: 8, bytes: 2_000_000 },
    })
    await page.waitForSelector('text=New keys with attic: epoch 13, after 8 ms')
    t.is(await rows.count(), 3, 'the tail keeps to the filter')
    const failed = rows.filter({ hasText: 'laptop' })
    t.regex((await failed.locator('time').getAttribute('title')) ?? '', /\d{1,2}:\d{2}/)
    t.regex((await failed.locator('time').textContent()) ?? '', /just now|ago/)
    await failed.locator('summary').click()
    const details = (await failed.locator('dl').textContent()) ?? ''
    for (const part of ['rotation.failed', 'rotation-timeout', laptop!.id, 'epoch', '10000', 'T', text])
      t.true(details.includes(part), part)
    t.regex(details, /\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}\.\d{3}Z/, 'the absolute time')
    await failed.locator('button:text-is("Only this peer")').click()
    await until(async () => (await rows.count()) === 1)
    t.is(await page.getByLabel('Peer', { exact: true }).inputValue(), laptop!.id)
    await page.getByLabel('Severity').selectOption('alert')
    await page.waitForSelector('text=No event matches.')
    await page.click('button:text-is("Show all events")')
    await rows.nth(199).waitFor()
    await page.click('button:text-is("Show older")')
    await rows.nth(250).waitFor()
    t.is(await page.getByLabel('Kind').inputValue(), '')
    t.deepEqual(wrongs, [])
    await context.close()
    await own[Symbol.asyncDispose]()
  },
)

browserTest('the peers page shows the keys and rotates them; who may only look cannot', async (t) => {
  const own = await start({ assetsDir: DIST })
  const context = await browser.newContext()
  context.setDefaultTimeout(15_000)
  const page = await context.newPage()
  const wrongs = watchPage(page, own.origin)
  await page.goto(own.dashboard.mintLoginLink().url)
  await page.waitForSelector('h1')
  await page.click('nav a:has-text("Peers")')
  const row = page.locator('tbody tr').filter({ hasText: 'attic' }).first()
  await row.waitFor()
  t.regex((await row.textContent()) ?? '', /epoch 125 min oldROT 5 min agoACK 5 min agoRotate/)
  t.regex((await page.locator('tbody').textContent()) ?? '', /3 rotations failed/)
  await row.getByLabel('Rotate the keys with attic').click()
  await page.waitForSelector('.notice:has-text("New keys with attic are being made.")')
  t.deepEqual(own.control.calls.findLast(([name]) => name === 'rotate')?.[1], {
    peer: own.control.peersNow[0]!.id,
  })
  await row.locator('text=agreeing on keys').waitFor()
  t.true(await row.getByLabel('Rotate the keys with attic').isDisabled(), 'one at a time')
  t.is(
    await page.locator('tbody tr').last().locator('button:text-is("Rotate")').count(),
    0,
    'no session, no keys',
  )
  own.control.peersNow = own.control.peersNow.map((one) => ({
    ...one,
    name: one.name === 'laptop' ? 'gone' : one.name,
  }))
  const laptop = page
    .locator('tbody tr')
    .filter({ hasText: 'laptop' })
    .getByLabel('Rotate the keys with laptop')
  own.control.rotate = () => {
    throw new KithError('no-session', 'There is no connection to laptop now.')
  }
  await laptop.click()
  await page.waitForSelector('.notice:has-text("There is no connection to laptop now.")')
  await page.evaluate('sessionStorage.clear()')
  const stranger = await context.newPage()
  await page.close()
  await stranger.goto(`${own.origin}/peers`)
  await stranger.waitForSelector('text=This tab can only look')
  t.true(await stranger.locator('tbody tr').first().locator('button:text-is("Rotate")').isDisabled())
  t.deepEqual(
    wrongs.filter((wrong) => !/400 \(Bad Request\)|409/.test(wrong)),
    [],
  )
  await context.close()
  await own[Symbol.asyncDispose]()
})

browserTest(
  'the network page shows the NAT, the relays and the ways to peers, follows the node and measures',
  async (t) => {
    const own = await start({ assetsDir: DIST })
    const context = await browser.newContext({ viewport: { width: 1280, height: 1000 } })
    context.setDefaultTimeout(15_000)
    const page = await context.newPage()
    const wrongs = watchPage(page, own.origin)
    const was = own.control.netcheckNow
    const unknown = ['mapping', 'filtering', 'keepsPort', 'hairpins'].map((part) => ({
      part,
      code: 'nat-not-seen',
      text: 'No other member has said yet.',
      fix: '',
    }))
    own.control.netcheckNow = {
      ...was,
      nat: {
        kind: null,
        mapping: null,
        filtering: null,
        keepsPort: null,
        hairpins: null,
        unknown,
        hints: [],
      },
      dialable: null,
      needsRelays: false,
      views: [],
      silent: [],
      relays: [],
      measuredAt: null,
    }
    await page.goto(own.dashboard.mintLoginLink().url)
    await page.waitForSelector('h1')
    await page.click('nav a:has-text("Network")')
    await page.waitForSelector('text=Not measured yet')
    t.is(await page.locator('text=nat-not-seen').count(), 1, 'one reason is said once')
    t.is(await page.locator('text=No member that could relay is known.').count(), 1)

    own.control.netcheckNow = was
    own.control.emit({ kind: 'netcheck.done', severity: 'info' })
    await page.waitForSelector('.badge:has-text("port-restricted cone")')
    const main = (await page.textContent('main')) ?? ''
    for (const part of [
      'one member keeps a way to it open',
      'address-and-port-dependent: an open port lets in only the address and port it has sent to',
      'stands behind another NAT',
      'Nobody has tried yet.',
      '2 connections at 1.3 MB/s, 4.2 GB so far',
      'mapping-no-router',
      'laptop said nothing: No answer came in time.',
    ])
      t.true(main.includes(part), part)
    t.is(await page.locator('tbody tr:has-text("attic"):has-text("held")').count(), 1)

    const measured = Promise.withResolvers<void>()
    const answer = own.control.netcheck.bind(own.control)
    own.control.netcheck = async (input) => {
      const report = await answer(input)
      if (input.measure) await measured.promise
      return report
    }
    await page.focus('button:text-is("Measure now")')
    await page.keyboard.press('Enter')
    await page.waitForSelector('[role=status]:has-text("Measuring, which takes up to ten seconds")')
    await page.keyboard.press('Enter')
    own.control.netcheckNow = { ...was, dialable: true, needsRelays: false, measuredAt: Date.now() }
    measured.resolve()
    await page.waitForSelector('text=Measured 1 min ago')
    own.control.emit({ kind: 'relay.lost', severity: 'info' })
    await page.waitForSelector('.badge:has-text("reached directly")')
    t.is(
      own.control.calls.filter(
        ([name, input]) => name === 'netcheck' && (input as { measure: boolean }).measure,
      ).length,
      1,
      'one measurement at a time',
    )

    const svg = page.locator('svg[role=img]')
    t.regex((await svg.getAttribute('aria-label')) ?? '', /^This node in the middle\. 4 peers: 2 direct/)
    t.deepEqual([await svg.locator('line.direct').count(), await svg.locator('line.relay').count()], [2, 1])
    own.control.peersNow = own.control.peersNow.map((one) =>
      one.name === 'laptop' ? { ...one, path: 'direct' as const, via: null } : one,
    )
    own.control.change('peers')
    await until(async () => (await svg.locator('line.direct').count()) === 3)
    await svg.locator('.node:has(title:text-is("laptop")) circle').click()
    await page.waitForSelector('dialog h2:text-is("Why laptop?")')
    await page.keyboard.press('Escape')
    await page.waitForSelector('dialog', { state: 'detached' })
    await page.focus('summary:text-is("The same as a list")')
    await page.keyboard.press('Enter')
    await page.focus('button[aria-label="Why laptop?"]')
    await page.keyboard.press('Enter')
    await page.waitForSelector('.tried')
    const dialog = (await page.textContent('dialog')) ?? ''
    for (const part of [
      'The relay is attic.',
      'path-relay-up',
      'Forward TCP 4701 on one router.',
      'hole punching',
      'took 8.0 s',
      '[fd00::7]:4701',
      'address-not-public',
    ])
      t.true(dialog.includes(part), part)
    t.true(dialog.indexOf('punch-timeout') < dialog.indexOf('address-not-public'), 'the newest first')
    t.notRegex(dialog, /None needed/)
    await page.keyboard.press('Escape')
    t.is(await page.evaluate('document.activeElement.getAttribute("aria-label")'), 'Why laptop?')

    own.control.netcheck = () => Promise.reject(new KithError('not-in-mesh', 'This node is in no mesh.'))
    await page.click('button:text-is("Measure now")')
    await page.waitForSelector('.problem:has-text("This node is in no mesh.")')
    t.is(await page.locator('.badge:has-text("reached directly")').count(), 1, 'what was known stays')
    t.deepEqual(
      wrongs.filter((wrong) => !/status of 4\d\d/.test(wrong)),
      [],
    )
    await context.close()
    await own[Symbol.asyncDispose]()
  },
)

browserTest(
  'who waits is let in or turned away, who is revoked is shown so, and refusals are explained',
  async (t) => {
    const own = await start({ assetsDir: DIST })
    const context = await browser.newContext()
    context.setDefaultTimeout(15_000)
    const page = await context.newPage()
    const wrongs = watchPage(page, own.origin)
    const [, , , guest] = own.control.membersNow
    const second = { ...guest!, id: '12D3KooWQYzCq3dT9rTzkJ7VbpzwVnT8DmqhhvH8yUmJrVnGJXkB', name: 'stranger' }
    own.control.membersNow.push(second)
    await page.goto(own.dashboard.mintLoginLink().url)
    const badge = page.locator('nav a:has-text("Members") .count')
    await badge.waitFor()
    t.is(await badge.textContent(), '2 waiting for approval')
    await page.click('nav a:has-text("Members")')
    await page.click('button[aria-label="Approve guest"]')
    await page.waitForSelector('tbody tr:has(.name:text-is("guest")) .badge:text-is("alive")')
    t.deepEqual(own.control.calls.at(-1), ['approve', { peer: guest!.id, deny: false }])
    t.is(await badge.textContent(), '1 waiting for approval')

    // It gave up meanwhile, and the page has not heard yet.
    own.control.membersNow.splice(own.control.membersNow.indexOf(second), 1)
    await page.click('button[aria-label="Turn stranger away"]')
    const problem = page.locator('.problem')
    await problem.waitFor()
    t.regex((await problem.textContent()) ?? '', /No join of .* waits\..*join-not-pending/s)
    own.control.change('members')
    await badge.waitFor({ state: 'detached' })
    t.is(await page.locator('.waiting').count(), 0)

    await page.click('button[aria-label="Revoke attic"]')
    t.regex(
      (await page.locator('dialog').textContent()) ?? '',
      /for good.*It is an authority.*kith authority retire attic/s,
    )
    await page.click('dialog button:text-is("Keep it")')
    await page.click('button[aria-label="Revoke phone"]')
    await page.getByLabel('Reason').fill('é'.repeat(101))
    await page.keyboard.press('Enter')
    await page.waitForSelector('.wrong:has-text("202 of 200 bytes")')
    await page.getByLabel('Reason').fill('sold')
    await page.keyboard.press('Enter')
    const row = page.locator('tbody tr:has(.name:text-is("phone"))')
    await row.locator('.badge:text-is("revoked")').waitFor()
    t.regex((await row.textContent()) ?? '', /revoked .* by attic“sold”/)
    t.is(await row.locator('button').count(), 0)
    t.like(own.control.calls.at(-1), { 1: { reason: 'sold' } })

    await page.click('button:text-is("How to add one")')
    await page.getByLabel('Member', { exact: true }).selectOption('guest')
    await page.getByLabel('dns: grants names').check()
    t.deepEqual(await page.locator('.ceremony code').allTextContents(), [
      'kith authority add guest --role admit revoke dns',
    ])
    await page.keyboard.press('Escape')
    own.control.statusNow = { ...own.control.statusNow, warnings: [] }
    own.control.change('status')
    await page.waitForSelector('text=it is not on this machine')
    await page.click('button[aria-label="How to retire attic"]')
    t.is(await page.locator('.ceremony li').count(), 3)
    await page.keyboard.press('Escape')

    own.control.membersNow = own.control.membersNow.map((one) =>
      one.self ? { ...one, authority: null } : one,
    )
    own.control.change('members')
    await page.waitForSelector('text=attic may')
    t.is(await page.locator('button:has-text("Revoke"), button:has-text("Invite")').count(), 0)
    t.deepEqual(
      wrongs.filter((wrong) => !/status of 4\d\d/.test(wrong)),
      [],
    )
    await context.close()
    await own[Symbol.asyncDispose]()
  },
)

browserTest('a trace is played, scrubbed and stepped through, and does not leave the browser', async (t) => {
  const { context, page, wrongs } = await loggedIn({ reducedMotion: 'no-preference' })
  await page.click('a:text-is("Play a trace")')
  await page.waitForSelector('h1:text-is("Player")')
  t.is(await page.title(), 'Player · Kith')
  const asked: string[] = []
  page.on('request', (request) => asked.push(request.url()))
  const bad = join(folder, 'bad.ndjson')
  writeFileSync(bad, '{"kind":"tick"}\n')
  await page.setInputFiles('input[type=file]', bad)
  await page.waitForSelector('.problem:has-text("line 1: it does not begin")')
  const damaged = join(folder, 'damaged.ndjson')
  writeFileSync(damaged, readFileSync(traceFile, 'utf8').replace('{"kind":"linkUp"', '{"kind":linkUp'))
  await page.setInputFiles('input[type=file]', damaged)
  await page.waitForSelector('.banner:has-text("is left out: it is not JSON.")')
  t.is(await page.locator('.problem').count(), 0)

  await page.setInputFiles('input[type=file]', traceFile)
  await page.waitForSelector('text=kill.ndjson: played, seed 1, 9 nodes')
  t.is(await page.locator('.banner').count(), 0)
  const state = (node: number) => page.locator('tbody tr').nth(node).locator('.badge').textContent()
  t.is(await state(4), 'up')
  await page.click('.faults button:has-text("partition of 2 nodes until 20.0 s")')
  t.deepEqual([await state(1), await state(4)], ['cut off', 'up'])
  const time = async (): Promise<number> => Number.parseFloat((await page.textContent('.clock')) ?? '')
  t.is(await time(), 10)
  await page.locator('h1').click()
  await page.keyboard.press('End')
  t.is(await state(4), 'down')
  t.regex((await page.locator('tbody tr').nth(4).textContent()) ?? '', /8 dead/)
  const matrix = page.locator('canvas').nth(1)
  const box = (await matrix.boundingBox())!
  await matrix.hover({ position: { x: (4.5 / 9) * box.width, y: 3 } })
  await page.waitForSelector('text=node 0 holds node 4 as dead')
  await page.keyboard.press('Home')
  await page.keyboard.press('ArrowRight')
  t.is(await time(), 1)
  await page.getByLabel('Time').fill('25000')
  await page.keyboard.press('Tab')
  await page.click('button[aria-label="One change on"]')
  t.true((await time()) >= 25)
  await page.getByLabel('Speed').selectOption('10')
  await page.locator('h1').click()
  await page.keyboard.press('Space')
  await page.waitForSelector('button:text-is("Pause")')
  await until(async () => (await time()) > 28)
  await page.keyboard.press('Space')
  await page.waitForSelector('button:text-is("Play")')
  const stopped = await time()
  t.is(await time(), stopped)
  const drawn: number = await page.evaluate(
    `((canvas) => canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height).data.filter((one) => one > 0).length)(document.querySelector('canvas'))`,
  )
  t.true(drawn > 10_000, 'there is a picture')
  const dropped = await page.evaluateHandle(
    `(() => { const data = new DataTransfer(); data.items.add(new File(['hello'], 'x')); return data })()`,
  )
  await page.dispatchEvent('.player', 'drop', { dataTransfer: dropped })
  await page.waitForSelector('.problem:has-text("line 1: it is not JSON")')
  t.regex((await page.textContent('header.page')) ?? '', /kill\.ndjson/, 'what was open stays')
  t.deepEqual([asked, wrongs], [[], []], 'nothing was sent anywhere')
  await context.close()
})

browserTest(
  'a second tab gets the write token from the first; a stranger to both may only look',
  async (t) => {
    const { context, page } = await loggedIn()
    const second = await context.newPage()
    await second.goto(`${kith.origin}/services`)
    await second.waitForSelector('button:text-is("Publish"):not([disabled])')
    await page.close()
    await second.close()
    const third = await context.newPage()
    await third.goto(`${kith.origin}/services`)
    await third.waitForSelector('text=This tab can only look')
    t.true(await third.locator('button:text-is("Publish")').isDisabled())
    await context.close()
  },
)

browserTest('a chosen theme is kept and wins over the system', async (t) => {
  const { context, page } = await loggedIn({ colorScheme: 'light' })
  const background = (): Promise<string> =>
    page.evaluate('getComputedStyle(document.documentElement).backgroundColor')
  const light = await background()
  await page.click('button[aria-label="Theme: system"]')
  await page.click('button[aria-label="Theme: light"]')
  const dark = await background()
  t.not(dark, light)
  await page.reload()
  await page.waitForSelector('button[aria-label="Theme: dark"]')
  t.is(await background(), dark)
  await context.close()
})

browserTest('a reused login link and a page without session are told what to do', async (t) => {
  const { url } = kith.dashboard.mintLoginLink()
  const { context, page } = await tab()
  await page.goto(url)
  await page.waitForSelector('h1')
  const again = await page.goto(url)
  t.is(again?.status(), 410)
  t.regex((await page.textContent('main')) ?? '', /spent.*kith ui/s)
  await page.click('a')
  await page.waitForSelector('nav', { timeout: 15_000 })
  await context.clearCookies()
  await page.goto(`${kith.origin}/peers`)
  await page.waitForSelector('text=You are logged out')
  t.pass()
  await context.close()
})

browserTest('a rebound name is refused, and so are pages of another site and of another port', async (t) => {
  const { context, page } = await loggedIn()
  const cookies = await context.cookies(kith.origin)
  t.is(cookies[0]?.name, '__Host-kith')
  t.is(cookies[0]?.sameSite, 'Strict')
  const evil = createServer((_request, response) => {
    response.setHeader('Content-Type', 'text/html')
    response.end('<!doctype html><title>evil</title>')
  })
  await new Promise<void>((resolve) => evil.listen(0, '127.0.0.1', resolve))
  const evilPort = (evil.address() as AddressInfo).port

  const rebound = await page.goto(`http://rebound.localhost:${kith.port}/`)
  t.is(rebound?.status(), 421)
  for (const origin of [`http://evil.localhost:${evilPort}`, `http://${LABEL}.localhost:${evilPort}`]) {
    const before = kith.control.calls.length
    await page.goto(origin)
    const outcome = await page.evaluate(attack, kith.origin)
    t.deepEqual(outcome, { read: 'refused', socket: 'refused', frame: 'refused' }, origin)
    t.is(kith.control.calls.length, before, `${origin} changed nothing`)
  }
  const linked = await page.goto(`http://evil.localhost:${evilPort}`)
  t.truthy(linked)
  const [answer] = await Promise.all([
    page.waitForResponse((response) => response.url().startsWith(kith.origin)),
    page.evaluate(`location.href = ${JSON.stringify(`${kith.origin}/login?code=x`)}`),
  ])
  t.is(answer.status(), 403, 'a link from elsewhere cannot even spend login codes')
  await closeServer(evil)
  await context.close()
})

function closeServer(server: Server): Promise<void> {
  server.closeAllConnections()
  return new Promise((resolve) => server.close(() => resolve()))
}

/** Waits until `condition` holds; one that never does fails the test by its timeout. */
async function until(condition: () => Promise<boolean>): Promise<void> {
  while (!(await condition())) await new Promise((resolve) => setImmediate(resolve))
}
