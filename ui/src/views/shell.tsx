import { useSignalEffect } from '@preact/signals'
import { useEffect, useRef } from 'preact/hooks'
import { ErrorBoundary, lazy, Route, Router, useLocation } from 'preact-iso'
import { useApp } from '../context.ts'
import { Icon } from '../parts/icon.tsx'
import { Loading } from '../parts/states.tsx'
import { SCREENS } from './screens.ts'
import { Sidebar } from './sidebar.tsx'

const LoggedOut = lazy(() => import('./logged-out.tsx').then((module) => module.LoggedOut))
const NotFound = lazy(() => import('./not-found.tsx').then((module) => module.NotFound))
const Setup = lazy(() => import('./setup.tsx').then((module) => module.Setup))

/** What stands around every screen, and which screen there is. */
export function Shell() {
  const { node } = useApp()
  const { path } = useLocation()
  const main = useRef<HTMLElement>(null)
  const first = useRef(true)
  const state = node.status.value?.state
  const inSetup = state === 'setup' || state === 'joining'
  useEffect(() => {
    const title = inSetup ? 'Welcome' : titleOf(path)
    document.title = `${title} · Kith`
    // A screen reader hears the new screen; the first one is read anyway.
    if (first.current) first.current = false
    else main.current?.focus()
  }, [path, inSetup])

  if (node.link.value === 'logged-out') {
    return (
      <ErrorBoundary>
        <LoggedOut />
      </ErrorBoundary>
    )
  }
  return (
    <div class={inSetup ? 'shell bare' : 'shell'}>
      <a class="skip" href="#main">
        Skip to content
      </a>
      <Sidebar path={path} inSetup={inSetup} />
      <main id="main" ref={main} tabIndex={-1}>
        <Banner />
        {node.status.value === null ? (
          <Loading label="Asking the node" />
        ) : inSetup ? (
          <ErrorBoundary>
            <Setup />
          </ErrorBoundary>
        ) : (
          <Router>
            {SCREENS.map((screen) => (
              <Route key={screen.path} path={screen.path} component={screen.view} />
            ))}
            <Route default component={NotFound} />
          </Router>
        )}
      </main>
      <Notice />
    </div>
  )
}

function titleOf(path: string): string {
  return SCREENS.find((screen) => screen.path === path)?.title ?? 'Not found'
}

/** Says what keeps the page from being live or from changing anything. */
function Banner() {
  const { node } = useApp()
  const link = node.link.value
  const session = node.session.value
  return (
    <div role="status">
      {link === 'lost' ? (
        <p class="banner">
          <Icon name="warning" /> Connection lost. What you see may be old; trying again.
        </p>
      ) : session && !session.writes ? (
        <p class="banner calm">
          <Icon name="info" />
          <span>
            This tab can only look. Run <code>kith ui</code> and open its link here to make changes.
          </span>
        </p>
      ) : null}
    </div>
  )
}

/** One line for what has just been done; also the live region that says it. */
function Notice() {
  const { notice } = useApp()
  useSignalEffect(() => {
    if (notice.value === '') return
    const timer = setTimeout(() => (notice.value = ''), 5000)
    return () => clearTimeout(timer)
  })
  return (
    <div class="notice" role="status">
      {notice.value === '' ? null : <p>{notice.value}</p>}
    </div>
  )
}
