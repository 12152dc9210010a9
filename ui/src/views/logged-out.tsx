import { Logo } from '../parts/logo.tsx'
import '../styles/logged-out.css'

/** For everyone without a session: how to get in. */
export function LoggedOut() {
  return (
    <main class="alone">
      <Logo />
      <h1>You are logged out</h1>
      <p>
        The dashboard opens with a one-time link that only the owner of this machine can make. In a terminal
        on it, run
      </p>
      <pre>
        <code>kith ui</code>
      </pre>
      <p class="muted">
        It opens the browser. Over SSH, <code>kith ui --print</code> shows the link and how to reach it from
        here.
      </p>
    </main>
  )
}
