import { existsSync, readdirSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { AxeBuilder } from '@axe-core/playwright'
import { chromium } from 'playwright-core'
import type { Browser, Page } from 'playwright-core'
import { build } from 'vite'

/** Debian's browser: the one tests are run with. */
export const CHROMIUM = '/usr/bin/chromium'
/** Headless, and without anything of its own that talks to the network. */
export const CHROMIUM_ARGUMENTS: readonly string[] = [
  '--headless=new',
  '--no-sandbox',
  '--disable-gpu',
  '--disable-quic',
  '--no-first-run',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
]
const UI = join(import.meta.dirname, '..', '..', 'ui')
/** The built dashboard. */
export const DIST = join(UI, 'dist')

/** True when browser tests have to be skipped; with `CI=true` they fail instead. */
export const isChromiumMissing = !existsSync(CHROMIUM) && process.env['CI'] !== 'true'

/** Starts the browser. */
export function launchChromium(): Promise<Browser> {
  return chromium.launch({ executablePath: CHROMIUM, args: [...CHROMIUM_ARGUMENTS] })
}

/** Builds the dashboard if a source is newer than what was built last. */
export async function buildDashboard(): Promise<void> {
  if (newest(join(UI, 'src')) <= (existsSync(DIST) ? newest(DIST) : 0)) return
  process.env['NODE_ENV'] = 'production' // ava says "test", with which the bundle is not the one users get
  await build({ configFile: join(UI, 'vite.config.ts'), logLevel: 'error' })
}

/** What is wrong with the page as it stands: axe's violations, and anything that sticks out sideways. */
export async function faultsOf(page: Page): Promise<string[]> {
  const { violations } = await new AxeBuilder({ page }).analyze()
  const faults = violations.map((one) => `${one.id}: ${one.nodes.map((node) => node.html).join(' | ')}`)
  const overflow: number = await page.evaluate(
    'document.documentElement.scrollWidth - document.documentElement.clientWidth',
  )
  return overflow > 0 ? [...faults, `sticks out sideways by ${overflow} px`] : faults
}

/** Records what must not happen on a page: errors, and requests to anywhere but `origins`. */
export function watchPage(page: Page, ...origins: readonly string[]): string[] {
  const wrongs: string[] = []
  page.on('console', (message) => message.type() === 'error' && wrongs.push(message.text()))
  page.on('pageerror', (error) => wrongs.push(String(error)))
  page.on('request', (request) => {
    const isHome = origins.some((origin) => request.url().startsWith(`${origin}/`))
    if (!isHome) wrongs.push(`request to ${request.url()}`)
  })
  return wrongs
}

/** Time of the newest file below a folder. */
function newest(directory: string): number {
  const files = readdirSync(directory, { recursive: true, withFileTypes: true }).filter((entry) =>
    entry.isFile(),
  )
  return Math.max(0, ...files.map((entry) => statSync(join(entry.parentPath, entry.name)).mtimeMs))
}
