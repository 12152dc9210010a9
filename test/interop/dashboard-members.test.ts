import test from 'ava'
import type { Browser, Page } from 'playwright-core'
import type { LogEvent, MemberRow } from '../../node/api/schemas.ts'
import { buildDashboard, CHROMIUM, isChromiumMissing, launchChromium } from '../ui/chromium.ts'
import { go, inspect, sitDown, startAgain, type Desk } from './desk.ts'
import { Lab, until } from './lab.ts'

/*
 * Who gets in and who is put out, decided by a person in the dashboard: real nodes on loopback, in a real browser.
 */

/** A revoked member is cut everywhere in this time. */
const CUT_MAX_MS = 5000

const story = isChromiumMissing ? test.serial.skip : test.serial
if (isChromiumMissing) process.stderr.write(`dashboard of members: skipped, needs ${CHROMIUM}\n`)

let lab: Lab
let browser: Browser
let founder: Desk
let phone: Desk

if (!isChromiumMissing) {
  test.before(async (t) => {
    t.timeout(60_000)
    await buildDashboard()
    lab = new Lab()
    browser = await launchChromium()
    founder = await sitDown(lab, browser, 'founder', '--no-mdns')
    phone = await sitDown(lab, browser, 'phone', '--no-mdns')
    await founder.page.click('button:text-is("Start the mesh")')
    await founder.page.waitForSelector('h1:text-is("founder")')
  })
  test.afterEach.always((t) => {
    if (t.passed) return
    for (const desk of [founder, phone])
      if (desk !== undefined) t.log(`log of ${desk.node.name}:\n${desk.node.log().slice(-1500)}`)
  })
  test.after.always(async () => {
    await browser?.close()
    await lab?.close()
  })
}

/** Makes an invite in the page, filled in by `fill`. */
async function invite(page: Page, fill: () => Promise<void>): Promise<string> {
  await page.click('button:has-text("Invite a machine")')
  await page.waitForSelector('dialog form')
  await fill()
  await page.click('button:text-is("Make the invite")')
  const link = await page.getByLabel('Invite link').inputValue()
  await page.click('button:text-is("Done")')
  return link
}

const row = (page: Page, name: string) => page.locator(`tbody tr:has(.name:text-is("${name}"))`)

story('a machine that waits is let in by a person who looks at the page', async (t) => {
  await go(founder.page, 'Members')
  await founder.page.waitForSelector('text=Only founder can let machines in and revoke members')
  t.regex((await founder.page.textContent('.authorities')) ?? '', /lies on this machine/)
  await inspect(t, founder.page, 'members alone')
  const link = await invite(founder.page, () =>
    founder.page.click('dialog label:has-text("once I approve it by hand")'),
  )
  await phone.page.getByLabel('Invite').fill(link)
  await phone.page.click('button:text-is("Join")')
  await phone.page.waitForSelector('.hurdles:has-text("join-pending")')
  t.regex((await phone.page.textContent('.welcome')) ?? '', /Joining….*kith approve NODE/s)
  await inspect(t, phone.page, 'setup, waiting')

  const badge = founder.page.locator('nav a:has-text("Members") .count')
  await badge.waitFor()
  t.is(await badge.textContent(), '1 waiting for approval')
  const { id } = (await phone.node.status()).node
  t.is(await founder.page.textContent('.waiting li code'), id)
  await inspect(t, founder.page, 'members, one waits')
  await founder.page.click('button[aria-label="Approve phone"]')
  await row(founder.page, 'phone').locator('.badge:text-is("alive")').waitFor()
  await badge.waitFor({ state: 'detached' })
  await phone.page.waitForSelector('h1:text-is("phone")')
  t.true((await founder.node.client.get<LogEvent[]>('/events')).some(({ kind }) => kind === 'join.approved'))
})

story('a plain member sees who may decide, and is offered nothing that would be refused', async (t) => {
  await phone.page.waitForSelector('.latest li')
  t.is(await phone.page.locator('button:has-text("Invite a machine")').count(), 0)
  await go(phone.page, 'Members')
  await phone.page.waitForSelector('text=no authority that may revoke members. founder may.')
  await phone.page.waitForSelector('text=it is not on this machine')
  t.is(await phone.page.locator('button:has-text("Revoke")').count(), 0)
  await phone.page.click('button:text-is("How to add one")')
  t.is(await phone.page.locator('.ceremony li').count(), 3)
  await inspect(t, phone.page, 'how to add an authority')
  await phone.page.keyboard.press('Escape')
  await inspect(t, phone.page, 'members of a plain member')
})

story('the command the page shows makes an authority, and the page follows', async (t) => {
  await founder.page.click('button:text-is("How to add one")')
  const commands = await founder.page.locator('.ceremony code').allTextContents()
  t.deepEqual(commands, ['kith authority add phone'])
  await founder.page.keyboard.press('Escape')
  const [, ...words] = (commands[0] ?? '').split(' ')
  t.is((await founder.node.cli(...words)).code, 0)
  await founder.page.waitForSelector('.authorities li:has-text("phone")')
  await founder.page.waitForSelector('text=Only founder can let machines in', { state: 'detached' })
  await until('phone to be alive again', async () => {
    const rows = await founder.node.client.get<MemberRow[]>('/members')
    return rows.some(
      ({ name, state, authority }) => name === 'phone' && state === 'alive' && authority !== null,
    )
  })
  // As before, for what follows.
  t.is((await founder.node.cli('authority', 'retire', 'phone')).code, 0)
  await founder.page.waitForSelector('.authorities li:has-text("phone")', { state: 'detached' })
  await phone.page.waitForSelector('text=no authority that may revoke members. founder may.')
})

story('an invite for one machine lets in that one alone, and who is turned away is told', async (t) => {
  const guest = await sitDown(lab, browser, 'guest', '--no-mdns')
  const asked = await invite(founder.page, () =>
    founder.page.click('dialog label:has-text("once I approve it by hand")'),
  )
  await guest.page.getByLabel('Invite').fill(asked)
  await guest.page.click('button:text-is("Join")')
  await founder.page.click('button[aria-label="Turn guest away"]')
  const problem = guest.page.locator('.problem:has-text("join-denied")')
  await problem.waitFor()

  const { id } = (await guest.node.status()).node
  const own = await invite(founder.page, async () => {
    await founder.page.click('dialog label:has-text("Only one machine")')
    await founder.page.getByLabel('Peer id', { exact: true }).fill(id)
    await founder.page.getByLabel('Name of the machine').fill('nas')
  })
  await guest.page.getByLabel('Invite').fill(own)
  await guest.page.click('button:text-is("Join")')
  await guest.page.waitForSelector('h1:text-is("nas")')
  await row(founder.page, 'nas').locator('.badge:text-is("alive")').waitFor()
  t.deepEqual(
    guest.wrongs.filter((wrong) => !/status of 4\d\d/.test(wrong)),
    [],
  )
  await guest.context.close()
  await guest.node.stop()
})

story(
  'who is revoked in the browser is cut, and its own dashboard says so, after a restart too',
  async (t) => {
    t.timeout(60_000)
    const { id } = (await phone.node.status()).node
    await founder.page.click('button[aria-label="Revoke phone"]')
    await founder.page.getByLabel('Reason').fill('lost on a train')
    await inspect(t, founder.page, 'revoke')
    const started = performance.now()
    await founder.page.click('button:text-is("Revoke for good")')
    await row(founder.page, 'phone').locator('.badge:text-is("revoked")').waitFor()
    t.regex((await row(founder.page, 'phone').textContent()) ?? '', /revoked .* by founder“lost on a train”/)
    await until('phone to be cut', async () => (await founder.node.peer('phone'))?.path !== 'direct')
    const cutMs = performance.now() - started
    t.log(`cut after ${Math.round(cutMs)} ms`)
    t.true(cutMs < CUT_MAX_MS)
    t.is(await row(founder.page, 'phone').locator('button').count(), 0)
    await inspect(t, founder.page, 'members, one revoked')

    await go(phone.page, 'Overview')
    await phone.page.waitForSelector('.needs:has-text("was revoked")')
    await inspect(t, phone.page, 'overview of a revoked node')
    await phone.node.stop()
    await phone.page.waitForSelector('text=Connection lost')
    await startAgain(phone)
    await phone.page.waitForSelector('text=Connection lost', { state: 'detached', timeout: 20_000 })
    await phone.page.waitForSelector(':is(.needs, .hurdles):has-text("revoked")')
    await inspect(t, phone.page, 'a revoked node after a restart')
    const revoked = (await founder.node.client.get<MemberRow[]>('/members')).find(
      (member) => member.id === id,
    )
    t.like(revoked, { state: 'revoked', revoked: { reason: 'lost on a train' } })
    t.deepEqual(
      [...founder.wrongs, ...phone.wrongs].filter(
        (wrong) => !/ERR_CONNECTION_REFUSED|WebSocket connection to|status of 4\d\d/.test(wrong),
      ),
      [],
    )
  },
)
