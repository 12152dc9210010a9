import { signal } from '@preact/signals'
import { render } from 'preact'
import { LocationProvider } from 'preact-iso'
import { browserApi } from './api.ts'
import { AppContext } from './context.ts'
import { createEventModel } from './models/event-model.ts'
import { createNodeModel } from './models/node-model.ts'
import { createTheme } from './models/theme.ts'
import './styles/main.css'
import { Shell } from './views/shell.tsx'
import { takeWriteToken } from './write-token.ts'

/** A person who moves keeps the session alive; once a minute is often enough. */
const SEEN_INTERVAL_MS = 60_000

const token = takeWriteToken(() => void node.refreshSession())
const api = browserApi(token)
const node = createNodeModel({
  api,
  later(action, delayMs) {
    const timer = setTimeout(action, delayMs)
    return () => clearTimeout(timer)
  },
  random: Math.random,
})
const events = createEventModel(api)
node.onEvent((event) => events.receive(event))

const theme = createTheme({
  load: () => localStorage.getItem('kith-theme'),
  save(chosen) {
    localStorage.setItem('kith-theme', chosen)
    if (chosen === 'system') delete document.documentElement.dataset['theme']
    else document.documentElement.dataset['theme'] = chosen
  },
})
const now = signal(Date.now())
setInterval(() => (now.value = Date.now()), 2000)

let seenAt = Date.now()
for (const kind of ['pointerdown', 'keydown', 'wheel', 'touchstart'] as const) {
  const seen = (): void => {
    if (Date.now() - seenAt < SEEN_INTERVAL_MS) return
    seenAt = Date.now()
    node.seen()
  }
  addEventListener(kind, seen, { passive: true })
}

const root = document.getElementById('app')
if (!root) throw new Error('no #app in index.html')
render(
  <AppContext.Provider value={{ api, node, events, theme, notice: signal(''), now }}>
    <LocationProvider>
      <Shell />
    </LocationProvider>
  </AppContext.Provider>,
  root,
)
void node.connect()
