import { batch, computed, signal } from '@preact/signals'
import type { LogEvent, MemberRow, Peer, Service, Session, Status } from '../../../node/api/schemas.ts'
import type { Api, LiveConnection } from '../api.ts'

/** First pause before a reconnect; doubles each time. */
const RETRY_MIN_MS = 500
/** Longest pause: a person who restarts a node does not wait longer than this. */
const RETRY_MAX_MS = 15_000

/** How the page stands with the server. */
export type LinkState = 'connecting' | 'open' | 'lost' | 'logged-out'

/** What the model takes from its surroundings. */
export interface NodeModelParts {
  readonly api: Api
  /** Runs `action` after `delayMs`; returns a function that cancels it. */
  readonly later: (action: () => void, delayMs: number) => () => void
  /** Between 0 and 1; spreads the reconnects of many tabs. */
  readonly random: () => number
}

/** The node as the live socket tells it: last known data, and whether it is still told. */
export type NodeModel = ReturnType<typeof createNodeModel>

export function createNodeModel({ api, later, random }: NodeModelParts) {
  const link = signal<LinkState>('connecting')
  const session = signal<Session | null>(null)
  const status = signal<Status | null>(null)
  const peers = signal<Peer[] | null>(null)
  const services = signal<Service[] | null>(null)
  const members = signal<MemberRow[] | null>(null)
  const eventListeners = new Set<(event: LogEvent) => void>()
  let connection: LiveConnection | undefined
  let cancelRetry = (): void => {}
  let failures = 0

  const loggedOut = (): void =>
    batch(() => {
      link.value = 'logged-out'
      session.value = null
      status.value = peers.value = services.value = members.value = null
    })

  const retryLater = (): void => {
    link.value = 'lost'
    const pause = Math.min(RETRY_MAX_MS, RETRY_MIN_MS * 2 ** failures++)
    cancelRetry = later(() => void connect(), pause * (0.5 + random() / 2))
  }

  /** Asks for the session first: a refused WebSocket does not say why. */
  async function connect(): Promise<void> {
    cancelRetry()
    try {
      session.value = await api.session()
    } catch (error) {
      if ((error as { status?: number }).status === 401) loggedOut()
      else retryLater()
      return
    }
    connection = api.live({
      onOpen() {
        failures = 0
        link.value = 'open'
      },
      onMessage(message) {
        if (message.topic === 'status') status.value = message.data
        else if (message.topic === 'peers') peers.value = message.data
        else if (message.topic === 'services') services.value = message.data
        else if (message.topic === 'members') members.value = message.data
        else for (const listener of eventListeners) listener(message.data)
      },
      onClose(ended) {
        connection = undefined
        if (ended) loggedOut()
        else if (link.value !== 'logged-out') retryLater()
      },
    })
  }

  return {
    link,
    session,
    status,
    peers,
    services,
    members,
    /** Whether this tab may change anything. */
    writable: computed(() => session.value?.writes === true && session.value.role !== 'viewer'),
    admin: computed(() => session.value?.writes === true && session.value.role === 'admin'),
    connect,
    /** Asks for the session again, after a write token has arrived from another tab. */
    async refreshSession(): Promise<void> {
      try {
        session.value = await api.session()
      } catch (error) {
        // Any other failure is the live connection's to notice and to mend.
        if ((error as { status?: number }).status === 401) loggedOut()
      }
    },
    /** A person is here; keeps the session from idling out. */
    seen: (): void => connection?.send('{"type":"seen"}'),
    onEvent(listener: (event: LogEvent) => void): () => void {
      eventListeners.add(listener)
      return () => eventListeners.delete(listener)
    },
    async logout(): Promise<void> {
      try {
        await api.logout()
      } catch (error) {
        // Over already is as good as ended now.
        if ((error as { status?: number }).status !== 401) throw error
      }
      loggedOut()
      connection?.close()
    },
  }
}
