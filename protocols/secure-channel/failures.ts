import { KithError } from '../common/errors.ts'
import type { EmitEvent, Severity } from '../common/ports.ts'
import { ChannelError } from './errors.ts'

/** Reasons that mean more than a wrong address or a slow network. */
const SEVERITIES: Readonly<Record<string, Severity>> = {
  'identity-mismatch': 'alert',
  'handshake-replayed': 'alert',
  'low-order-key': 'alert',
  'internal-error': 'alert',
  'decrypt-failed': 'notice',
  'handshake-closed': 'notice',
  'handshake-timeout': 'notice',
  'confirm-missing': 'notice',
  'message-before-start': 'notice',
  'replay-memory-unsaved': 'notice',
}

/** How much a failed handshake matters to an operator. */
export function severityOf(code: string): Severity {
  return SEVERITIES[code] ?? 'warning'
}

/** The error as it is reported; anything but a `KithError` is our own bug. */
export function asKithError(error: unknown): KithError {
  if (error instanceof KithError) return error
  return new ChannelError('internal-error', error instanceof Error ? error.message : String(error), {
    cause: error,
  })
}

/** What is known of the other side of a failed handshake. */
export interface FailedWith {
  readonly direction: 'inbound' | 'outbound'
  readonly peer?: string | undefined
  /** Its address. */
  readonly from?: string | undefined
}

/** Emits `handshake.failed` with its reason; libp2p throws away everything but the message. */
export function emitFailure(emit: EmitEvent, error: KithError, { direction, peer, from }: FailedWith): void {
  const offsetMs = error instanceof ChannelError ? error.offsetMs : undefined
  emit({
    kind: 'handshake.failed',
    severity: severityOf(error.code),
    ...(peer === undefined ? {} : { peer }),
    reason: error.code,
    text: error.message,
    fields: {
      direction,
      ...(from === undefined ? {} : { from }),
      ...(offsetMs === undefined ? {} : { offsetMs }),
    },
  })
}
