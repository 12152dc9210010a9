import type { NetcheckReport } from './path-schemas.ts'
import type {
  AddAuthorityInput,
  AuthorityRow,
  RetireAuthorityInput,
  RootAct,
  Approved,
  ApproveInput,
  Bugreport,
  ConfigEntry,
  Forward,
  Invite,
  InviteInput,
  LogEvent,
  LoginLink,
  MemberRow,
  Peer,
  PingReply,
  PublishInput,
  Revoked,
  RevokeInput,
  Rotated,
  Service,
  Severity,
  Status,
  Why,
} from './schemas.ts'

/** Which part of the node's state changed; the dashboard's socket sends that snapshot again. */
export type ChangeTopic = 'status' | 'peers' | 'services' | 'members'

/**
 * Everything the CLI and the dashboard can ask of a running node: the one facade between `node/http` and the rest.
 * Every method may reject with a `KithError`, whose code the HTTP layer maps to a status.
 */
export interface Control {
  status(): Status
  peers(): Peer[]
  services(): Service[]
  /** @throws KithError `name-reserved`, `name-taken`, `target-invalid`, `no-mesh`. */
  publish(input: PublishInput): Promise<Service>
  /** @throws KithError `service-unknown` when this node does not publish the name. */
  unpublish(name: string): Promise<void>
  /** @throws KithError `already-in-mesh`. */
  found(input: { name: string }): Promise<Status>
  /** @throws KithError of the join (`invite-expired`, `invite-used-up`, …) or `already-in-mesh`. */
  join(input: { invite: string }): Promise<Status>
  /** @throws KithError `no-mesh`, `not-authorised`. */
  invite(input: InviteInput): Promise<Invite>
  /** Everybody, this node too, and who waits or was revoked. */
  members(): MemberRow[]
  /** @throws KithError `no-mesh`, `not-authorised` (with the nodes that may), `peer-unknown`, `revoke-self`, `revocation-limit`. */
  revoke(input: RevokeInput): Promise<Revoked>
  /** @throws KithError `no-mesh`, `not-authorised`, `join-not-pending`, `invite-used-up`, `node-name-taken`. */
  approve(input: ApproveInput): Promise<Approved>
  /** The authorities this node knows of. */
  authorities(): AuthorityRow[]
  /** @throws KithError `no-mesh`, `peer-unknown`, `root-key-missing`, `authority-retired`. */
  addAuthority(input: AddAuthorityInput): Promise<RootAct>
  /** @throws KithError `no-mesh`, `authority-unknown`, `root-key-missing`. */
  retireAuthority(input: RetireAuthorityInput): Promise<RootAct>
  /** Takes what a root key signed elsewhere. @throws KithError `no-mesh`, `ceremony-malformed`, `root-key-wrong`. */
  signedAct(input: { signed: string }): Promise<RootAct>
  /** One probe; never rejects for an unreachable peer (the reply carries the error). @throws KithError `peer-unknown`. */
  ping(peer: string, seq: number, signal: AbortSignal): Promise<PingReply>
  why(subject: string): Promise<Why>
  /** How this machine stands towards the internet; measured now where asked for. @throws KithError `no-mesh`. */
  netcheck(input: { measure: boolean }): Promise<NetcheckReport>
  /** Looks for a direct way to a member now; nothing where it has one. @throws KithError `no-mesh`, `peer-unknown`. */
  lookForDirect(peer: string): void
  /** Starts a key rotation with one peer (name or id), or with all. @throws KithError `no-mesh`, `peer-unknown`, `no-session`. */
  rotate(input: { peer?: string | undefined }): Rotated
  /**
   * Newest last; at most `limit` (1,000) entries: with `since` the first ones after that id, without it the newest ones (before
   * the id `before`). `kind` is what the kind begins with, `peer` a name or an id. @throws KithError `peer-unknown`.
   */
  events(filter: {
    since?: number
    before?: number
    severity?: Severity
    kind?: string
    peer?: string
    limit?: number
  }): Promise<LogEvent[]>
  /** Calls back for every new event until the signal aborts. */
  onEvent(listener: (event: LogEvent) => void, signal: AbortSignal): void
  /** Calls back (coalesced, at most 4 a second a topic) when a snapshot changed, until the signal aborts. */
  onChange(listener: (topic: ChangeTopic) => void, signal: AbortSignal): void
  /** Records an event from the HTTP layer: a denied request, a login. */
  emit(event: {
    kind: string
    severity: Severity
    reason?: string
    text?: string
    fields?: Record<string, string | number | boolean>
  }): void
  config(): ConfigEntry[]
  /** What helps to find out what went wrong; with names and addresses only where `names` is set, never with a secret. */
  bugreport(input: { names: boolean }): Promise<Bugreport>
  /** Opens a local listener for the service; closed when the signal aborts. @throws KithError `service-unknown`, `port-in-use`. */
  forward(input: { name: string; port: number }, signal: AbortSignal): Promise<Forward>
  /** Mints a one-time login link, valid for a minute. @throws KithError `ui-off`. */
  loginLink(): LoginLink
}
