import type { NetcheckReport } from '../../node/api/path-schemas.ts'
import type {
  Approved,
  ApproveInput,
  AuthorityRow,
  ErrorBody,
  Invite,
  InviteInput,
  LiveMessage,
  LogEvent,
  PublishInput,
  Revoked,
  RevokeInput,
  Rotated,
  Service,
  Session,
  Severity,
  Status,
  Why,
} from '../../node/api/schemas.ts'

/** Close code of a live socket whose session is over. */
const SESSION_ENDED = 4001

/** A refused or failed request, as the server explained it. `status` is 0 when it could not be reached. */
export class ApiError extends Error {
  readonly status: number
  readonly code: string
  readonly fix: string
  readonly field: string | undefined

  constructor(status: number, { error }: ErrorBody) {
    super(error.message)
    this.status = status
    this.code = error.code
    this.fix = error.fix
    this.field = error.field
  }
}

/** A live socket as the model sees it. */
export interface LiveConnection {
  send(text: string): void
  close(): void
}

/** What happens on a live socket. */
export interface LiveHandlers {
  onOpen(): void
  onMessage(message: LiveMessage): void
  /** `ended` is true when the server closed it because the session is over. */
  onClose(ended: boolean): void
}

/** All talk with the server. */
export interface Api {
  session(): Promise<Session>
  logout(): Promise<void>
  found(name: string): Promise<Status>
  join(invite: string): Promise<Status>
  publish(input: Partial<PublishInput>): Promise<Service>
  unpublish(name: string): Promise<void>
  invite(input: Partial<InviteInput>): Promise<Invite>
  /** Lets a machine in that waits, or turns it away, by id. */
  approve(input: ApproveInput): Promise<Approved>
  /** Cuts a member off for good, by id. */
  revoke(input: RevokeInput): Promise<Revoked>
  authorities(): Promise<AuthorityRow[]>
  why(subject: string): Promise<Why>
  /** How this machine stands towards the internet; `measure`: found out now, which takes seconds. */
  netcheck(measure: boolean): Promise<NetcheckReport>
  /** Starts a key rotation with a peer, by id. */
  rotate(peer: string): Promise<Rotated>
  /** `kind` is what the kind begins with, `peer` an id; empty texts mean all. */
  events(filter: {
    since?: number
    before?: number
    limit?: number
    severity?: Severity
    kind?: string
    peer?: string
  }): Promise<LogEvent[]>
  live(handlers: LiveHandlers): LiveConnection
}

/** The API of the page's own origin. `token` is asked for each write. */
export function browserApi(token: () => string | null): Api {
  const call = async (method: string, path: string, body?: unknown): Promise<unknown> => {
    const headers: Record<string, string> = {}
    const secret = token()
    if (secret) headers['x-kith-token'] = secret
    if (body !== undefined) headers['content-type'] = 'application/json'
    let response
    try {
      response = await fetch(`/api/v1/${path}`, {
        method,
        headers,
        ...(body !== undefined && { body: JSON.stringify(body) }),
      })
    } catch {
      const error = {
        code: 'unreachable',
        message: 'The node does not answer.',
        fix: 'Check that it is running: `kith status`.',
      }
      throw new ApiError(0, { error })
    }
    const answer: unknown = await response.json()
    if (!response.ok) throw new ApiError(response.status, answer as ErrorBody)
    return answer
  }
  const segment = encodeURIComponent
  return {
    session: () => call('GET', 'session') as Promise<Session>,
    logout: () => call('POST', 'logout') as Promise<never>,
    found: (name) => call('POST', 'found', { name }) as Promise<Status>,
    join: (invite) => call('POST', 'join', { invite }) as Promise<Status>,
    publish: (input) => call('POST', 'services', input) as Promise<Service>,
    unpublish: (name) => call('DELETE', `services/${segment(name)}`) as Promise<never>,
    invite: (input) => call('POST', 'invites', input) as Promise<Invite>,
    approve: (input) => call('POST', 'approvals', input) as Promise<Approved>,
    revoke: (input) => call('POST', 'revocations', input) as Promise<Revoked>,
    authorities: () => call('GET', 'authorities') as Promise<AuthorityRow[]>,
    why: (subject) => call('GET', `why/${segment(subject)}`) as Promise<Why>,
    netcheck: (measure) => call('GET', `netcheck${measure ? '?measure=1' : ''}`) as Promise<NetcheckReport>,
    rotate: (peer) => call('POST', 'rotate', { peer }) as Promise<Rotated>,
    events(filter) {
      const given = Object.entries(filter).filter(([, value]) => value !== '')
      const query = new URLSearchParams(given.map(([key, value]) => [key, String(value)]))
      return call('GET', `events?${query}`) as Promise<LogEvent[]>
    },
    live(handlers) {
      const socket = new WebSocket('/api/v1/live')
      socket.onopen = () => handlers.onOpen()
      socket.onmessage = (event) => handlers.onMessage(JSON.parse(String(event.data)) as LiveMessage)
      socket.onclose = (event) => handlers.onClose(event.code === SESSION_ENDED)
      return {
        send: (text) => socket.readyState === WebSocket.OPEN && socket.send(text),
        close: () => socket.close(),
      }
    },
  }
}
