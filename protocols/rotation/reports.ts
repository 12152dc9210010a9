import type { EventInput, Severity } from '../common/ports.ts'
import type { RotationReason } from './errors.ts'
import type { StartReason } from './state.ts'

const SEVERITY: Readonly<Record<RotationReason, Severity>> = {
  'rotation-timeout': 'warning',
  'rotation-unconfirmed': 'notice',
  'rotation-interrupted': 'notice',
  'rotation-protocol-error': 'alert',
  'rotation-flood': 'alert',
  'rotation-hard-limit': 'warning',
  'rotation-epoch-limit': 'notice',
}

/** Figures every report carries: the epoch the rotation is for, why it started, bytes the old keys had served, ms since it started. */
export interface Figures {
  readonly epoch: number
  readonly reason: StartReason | 'none'
  readonly bytes: number
  readonly ms: number
}

/** `rotation.start`: a ROT of ours was made, or one of the other side answered (reason `peer`). */
export function started(figures: Figures): EventInput {
  return {
    kind: 'rotation.start',
    severity: 'info',
    text: `Key rotation to epoch ${figures.epoch} starts`,
    fields: { ...figures },
  }
}

/** `rotation.done`: both directions use the new keys on this side. */
export function done(figures: Figures): EventInput {
  return {
    kind: 'rotation.done',
    severity: 'info',
    text: `Keys of epoch ${figures.epoch} are in use after ${figures.ms} ms`,
    fields: { ...figures },
  }
}

/** `rotation.failed`: the current keys stay, or the connection ends, as the code says. */
export function failed(reason: RotationReason, text: string, figures: Figures): EventInput {
  return { kind: 'rotation.failed', severity: SEVERITY[reason], reason, text, fields: { ...figures } }
}

/** `rotation.glare`: both sides started; `won` says whether ours goes on. */
export function glare(won: boolean, figures: Figures): EventInput {
  return {
    kind: 'rotation.glare',
    severity: 'info',
    text: `Both sides started a key rotation to epoch ${figures.epoch}; ${won ? 'ours' : 'theirs'} goes on`,
    fields: { ...figures, won },
  }
}
