import { useApp } from '../context.ts'
import { waitingMembers } from '../models/waiting-members.ts'
import { Icon } from '../parts/icon.tsx'
import { Logo } from '../parts/logo.tsx'
import { forgetWriteToken } from '../write-token.ts'
import { SCREENS } from './screens.ts'

/** Brand, screens and tools; a bar at the bottom of small displays. */
export function Sidebar({ path, inSetup }: { path: string; inSetup: boolean }) {
  const { node, notice } = useApp()
  const status = node.status.value
  const logout = (): void =>
    void node.logout().then(forgetWriteToken, (error: Error) => (notice.value = error.message))
  return (
    <header class="sidebar">
      <a class="brand" href="/" aria-label="Kith, overview">
        <Logo />
        <span>Kith</span>
      </a>
      {inSetup ? null : (
        <nav aria-label="Screens">
          {SCREENS.map(({ path: href, title, icon }) =>
            icon === null ? null : (
              <a key={href} href={href} {...(path === href && { 'aria-current': 'page' as const })}>
                <Icon name={icon} />
                <span>{title}</span>
                {href === '/' ? <Count count={status?.warnings.length ?? 0} what="need you" /> : null}
                {href === '/members' ? (
                  <Count count={waitingMembers(node.members.value).length} what="waiting for approval" />
                ) : null}
              </a>
            ),
          )}
        </nav>
      )}
      <div class="tools">
        <ThemeSwitch />
        <button type="button" class="quiet" aria-label="Log out" onClick={logout}>
          <Icon name="leave" />
          <span>Log out</span>
        </button>
        {status ? <p class="muted version">Kith {status.version}</p> : null}
      </div>
    </header>
  )
}

function Count({ count, what }: { count: number; what: string }) {
  if (count === 0) return null
  return (
    <b class="count">
      {count}
      <span class="hidden"> {what}</span>
    </b>
  )
}

const THEME_ICONS = { system: 'screen', light: 'sun', dark: 'moon' } as const

function ThemeSwitch() {
  const { theme } = useApp()
  return (
    <button
      type="button"
      class="quiet"
      aria-label={`Theme: ${theme.theme.value}`}
      onClick={() => theme.next()}
    >
      <Icon name={THEME_ICONS[theme.theme.value]} />
      <span>Theme: {theme.theme.value}</span>
    </button>
  )
}
