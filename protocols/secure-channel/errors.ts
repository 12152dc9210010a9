import { KithError, type ReasonTable } from '../common/errors.ts'
import { MUX_REASONS } from '../mux/errors.ts'
import { NOISE_REASONS } from '../noise-ik/errors.ts'
import { RECORD_REASONS } from '../record/errors.ts'
import { REPLAY_REASONS } from '../replay/errors.ts'
import { ROTATION_REASONS } from '../rotation/errors.ts'

/** Why a channel was not set up, or ended otherwise than in order. */
export const CHANNEL_REASONS = {
  'peer-id-required': {
    summary: 'An address without a peer id was dialled; the channel needs to know whom it talks to.',
    fix: 'Append /p2p/PEER-ID to the address.',
  },
  'peer-id-unsupported': {
    summary: 'The dialled peer id does not contain an Ed25519 key.',
    fix: 'Only Ed25519 peer ids (12D3KooW…) belong to a mesh; check the address.',
  },
  'suite-unsupported': {
    summary: 'The other side uses a cipher suite this version does not know.',
    fix: 'Update both nodes to the same version.',
  },
  'identity-mismatch': {
    summary: 'The identity a peer claims is not the one its keys prove.',
    fix: 'The other side is broken or hostile; look at where its address came from.',
  },
  'stranger-refused': {
    summary: 'Something that speaks no protocol of this mesh connected to the mesh port, and got no answer.',
    fix: 'Nothing to do: scanners and misdirected programs look like this. If a member is meant, check that it is in this mesh.',
  },
  downgraded: {
    summary: 'A member connected by stock libp2p encryption, without its certificate, and was cut.',
    fix: 'Somebody in between may force it; look at the network, and set compat = false where no stock peers are wanted.',
  },
  'handshake-oversize': {
    summary: 'A handshake message is longer than the limit, or followed by bytes nobody asked for.',
    fix: 'Update both nodes to the same version; if it persists, the sender is broken or hostile.',
  },
  'handshake-closed': {
    summary:
      'The other side closed the connection without an answer, as it does to everyone it does not accept.',
    fix: 'Check that the peer id and the mesh are right, that both clocks are, and ask at the other side for its events.',
  },
  'handshake-timeout': {
    summary: 'The handshake did not finish in time.',
    fix: 'Try again; if it persists, look at the network in between.',
  },
  'handshake-refused': {
    summary: 'The other side answered with a refusal of a kind this version does not know.',
    fix: 'Update both nodes to the same version.',
  },
  'muxer-not-offered': {
    summary: 'The other side chose a stream muxer that was not offered.',
    fix: 'Update both nodes to the same version.',
  },
  'confirm-missing': {
    summary:
      'The dialling side did not confirm the session, as after a replayed first message or when it refused us.',
    fix: 'Ask at the dialling side for its events.',
  },
  'too-many-handshakes': {
    summary: 'Too many inbound handshakes are under way.',
    fix: 'Wait; if it persists, somebody floods this node with connections.',
  },
  'too-many-sessions': {
    summary: 'The registry of open sessions is full.',
    fix: 'Close connections, or split the mesh.',
  },
  'peer-not-reading': {
    summary: 'The other side asks and does not read the answers.',
    fix: 'It is broken, overloaded or hostile; the connection is dialled again.',
  },
  'too-many-sessions-of-peer': {
    summary: 'A member has as many sessions with this node as one may have.',
    fix: 'Look at that member: it dials in a loop.',
  },
  truncated: {
    summary:
      'The connection ended without the closing record: the process or the path died, or somebody cut it.',
    fix: 'Nothing to do after a crash or a restart; otherwise look at the network in between.',
  },
  'exchange-protocol': {
    summary: 'The other side broke the rules of the join exchange.',
    fix: 'Update both nodes to the same version.',
  },
  'door-unreachable': {
    summary:
      'A node that should let this machine in could not be reached or does not serve the mesh of the invite.',
    fix: 'Check that the node runs and that its address in the invite is reachable from here; try another address of the invite.',
  },
  'internal-error': { summary: 'The node itself failed in a handshake.', fix: 'Report this event as a bug.' },
  closed: { summary: 'The connection was closed in order.', fix: '' },
  ...MUX_REASONS,
  ...NOISE_REASONS,
  ...RECORD_REASONS,
  ...REPLAY_REASONS,
  ...ROTATION_REASONS,
} as const satisfies ReasonTable

/**
 * A channel that was not set up, or a join exchange that failed. `code` is a key of `CHANNEL_REASONS`, or what the owner's
 * `checkPeer` said.
 */
export class ChannelError extends KithError {
  /** With `clock-skew`: the other side's clock minus ours, in ms. */
  readonly offsetMs: number | undefined

  constructor(code: string, message: string, options?: { cause?: unknown; offsetMs?: number }) {
    super(code, message, options)
    this.offsetMs = options?.offsetMs
  }
}
