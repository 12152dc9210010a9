import { join } from 'node:path'
import type { ExecutionContext } from 'ava'
import type { Browser, BrowserContext, Page } from 'playwright-core'
import { faultsOf, watchPage } from '../ui/chromium.ts'
import { type Lab, LabNode } from './lab.ts'

const PORTS = ['--listen', '/ip4/127.0.0.1/tcp/0', '--dns', '0', '--gateway-port', '0'] as const
const DESKTOP = { width: 1280, height: 800 }
const TELEPHONE = { width: 360, height: 740 }
const LOOKS = [
  ['light', DESKTOP],
  ['dark', TELEPHONE],
] as const
const ALL_LOOKS = [...LOOKS, ['dark', DESKTOP], ['light', TELEPHONE]] as const
/** Where pictures of each screen go, when somebody wants to look at them. */
const shots = process.env['SCREENSHOTS']

/** A dashboard in a browser of its own, as each machine has one. */
export interface Desk {
  readonly node: LabNode
  readonly origin: string
  readonly context: BrowserContext
  readonly page: Page
  readonly wrongs: string[]
}

/** Starts a node in setup, with these flags besides, and opens its dashboard by the link it printed. */
export async function sitDown(
  lab: Lab,
  browser: Browser,
  name: string,
  ...flags: readonly string[]
): Promise<Desk> {
  const node = new LabNode(lab, name)
  const { ui, mesh } = await node.up('--name', name, '--ui', '0', ...PORTS, ...flags)
  if (ui === null || mesh !== null) throw new Error('a fresh node has a dashboard and no mesh')
  const { origin } = new URL(ui.url)
  const context = await browser.newContext({ viewport: DESKTOP, reducedMotion: 'reduce' })
  context.setDefaultTimeout(15_000)
  const page = await context.newPage()
  const wrongs = watchPage(page, origin)
  await page.goto(ui.url)
  await page.waitForSelector('.welcome')
  return { node, origin, context, page, wrongs }
}

/** Starts the node of a desk again, on the port its tab knows. */
export async function startAgain({ node, origin }: Desk): Promise<void> {
  await node.up('--name', node.name, '--ui', new URL(origin).port, ...PORTS)
}

/** Goes to a screen by the menu. */
export async function go(
  page: Page,
  screen: 'Overview' | 'Peers' | 'Network' | 'Members' | 'Services' | 'Events',
): Promise<void> {
  await page.click(`nav a:has-text("${screen}")`)
  await page.waitForSelector(screen === 'Overview' ? '.numbers' : `h1:text-is("${screen}")`)
}

/** The page as it stands: light on a desk and dark on a telephone (all four when pictures are wanted), accessible, nothing sticks out. */
export async function inspect(t: ExecutionContext, page: Page, label: string): Promise<void> {
  for (const [colorScheme, size] of shots === undefined ? LOOKS : ALL_LOOKS) {
    await page.emulateMedia({ colorScheme, reducedMotion: 'reduce' })
    await page.setViewportSize(size)
    const where = `${label} at ${size.width} in ${colorScheme}`
    t.deepEqual(await faultsOf(page), [], where)
    if (shots !== undefined)
      await page.screenshot({ path: join(shots, `${where.replaceAll(/\W+/g, '-')}.png`), fullPage: true })
  }
  await page.setViewportSize(DESKTOP)
}
