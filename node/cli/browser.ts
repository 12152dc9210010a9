import { spawn } from 'node:child_process'
import { accessSync, constants } from 'node:fs'
import { delimiter, join } from 'node:path'

const CHROMIUM_NAMES = [
  'chromium',
  'chromium-browser',
  'google-chrome',
  'google-chrome-stable',
  'brave-browser',
  'microsoft-edge',
]

/** Whether a window can be shown here: always on macOS and Windows, elsewhere with a display server. */
export function hasDisplay(): boolean {
  return (
    process.platform === 'darwin' ||
    process.platform === 'win32' ||
    Boolean(process.env['DISPLAY'] ?? process.env['WAYLAND_DISPLAY'])
  )
}

/** Opens a URL in the user's own browser and goes on at once. */
export function openUrl(url: string): void {
  if (process.platform === 'darwin') detach('open', [url])
  else if (process.platform === 'win32') detach('explorer', [url])
  else detach('xdg-open', [url])
}

/** Path of an installed Chromium-like browser, if one is found in PATH. */
export function findChromium(): string | undefined {
  for (const directory of (process.env['PATH'] ?? '').split(delimiter)) {
    for (const name of CHROMIUM_NAMES) {
      const file = join(directory, name)
      try {
        accessSync(file, constants.X_OK)
        return file
      } catch {
        // not here: the next candidate
      }
    }
  }
  return undefined
}

/** A mesh's services under their real names, in one browser window with a profile of its own. */
export interface RealNameWindow {
  readonly url: string
  readonly domain: string
  /** Where this machine's gateway listens. */
  readonly gateway: string
  /** Directory of the profile; its cookies and storage never mix with the user's own. */
  readonly profile: string
}

/** Arguments for Chromium: every name of the mesh leads to the gateway, nothing else is changed. */
export function realNameArguments(window: RealNameWindow): string[] {
  return [
    `--user-data-dir=${window.profile}`,
    `--host-resolver-rules=MAP *.${window.domain} ${window.gateway}`,
    '--no-first-run',
    '--no-default-browser-check',
    window.url,
  ]
}

/** Starts a program that outlives this one. */
export function detach(program: string, args: readonly string[]): void {
  const child = spawn(program, args, { stdio: 'ignore', detached: true })
  child.on('error', (error) => process.stderr.write(`kith: cannot start ${program}: ${error.message}\n`))
  child.unref()
}
