import type { RecordedStep, Recording } from '../../protocols/membership/recorder.ts'
import type { Snapshot } from '../../protocols/membership/snapshot.ts'
import type { MembershipEvent } from '../../protocols/membership/machine.ts'
import type { Archived, Version } from '../../protocols/membership/state.ts'
import type { Root } from '../../protocols/admission/root.ts'
import type { TableRow } from '../../protocols/registry/table.ts'
import { sha256 } from '../../protocols/common/signing.ts'
import type { MemberEntry } from '../../protocols/registry/wire.ts'
import type { BlobRedaction } from './blob-redaction.ts'

/** A row of the table: all that cannot be read out of the entry again. */
export interface PortableRow {
  readonly entry: MemberEntry
  /** 8 bytes: of the original, where the entry was rewritten. */
  readonly hash: Uint8Array
  readonly down: boolean
}

/** A snapshot without what follows from the rest. */
export type PortableSnapshot = Omit<Snapshot, 'table' | 'self'> & {
  readonly self: Omit<Snapshot['self'], 'member'>
  readonly table: readonly PortableRow[]
}

/** A step whose signed messages are digests of 32 bytes. */
export type PortableStep = Omit<RecordedStep, 'answers'> & {
  readonly answers: Omit<RecordedStep['answers'], 'signed'> & {
    readonly signed: readonly { readonly digest: Uint8Array; readonly signature: Uint8Array }[]
  }
}

/** A recording as it leaves the node. */
export interface PortableRecording {
  /** What of the root document the machine needs. */
  readonly root: { readonly meshId: Uint8Array; readonly rootKeys: readonly Uint8Array[] }
  /** When the checkpoint was taken, ms. */
  readonly at: number
  readonly checkpoint: PortableSnapshot
  readonly steps: readonly PortableStep[]
  readonly final: PortableSnapshot
  /** Digest of what was rewritten → digest of the original, hexadecimal. */
  readonly hashes: ReadonlyMap<string, string>
}

/**
 * Makes a recording ready to leave: rewritten, or with null as it is. A generator that yields between its parts, since a large
 * mesh takes a second and the node has to go on meanwhile; the recording itself does not change any more.
 */
export function* makePortable(
  recording: Recording,
  root: Root,
  redaction: BlobRedaction | null,
): Generator<undefined, PortableRecording> {
  const checkpoint = yield* portableSnapshot(recording.checkpoint, redaction)
  const steps: PortableStep[] = []
  for (const step of recording.steps) {
    steps.push(portableStep(step, redaction))
    yield
  }
  const final = yield* portableSnapshot(recording.final, redaction)
  return {
    root: { meshId: root.meshId, rootKeys: root.document.rootKeys },
    at: recording.at,
    checkpoint,
    steps,
    final,
    hashes: redaction?.hashes ?? new Map(),
  }
}

/** A snapshot ready to leave, in parts as `makePortable`. */
export function* portableSnapshot(
  { self: { member: _member, ...self }, table, links: linked, archive, revocations, ...rest }: Snapshot,
  redaction: BlobRedaction | null,
): Generator<undefined, PortableSnapshot> {
  const links = new Map([...linked].map(([id, link]) => [id, { ...link, accused: versionOf(link.accused) }]))
  const rows: PortableRow[] = []
  for (const row of table) {
    rows.push(portableRow(row, redaction))
    yield
  }
  if (redaction === null) return { ...rest, self, table: rows, links, archive, revocations }
  const left = new Map<string, Archived>()
  for (const [id, { addresses, entry, ...kept }] of archive) {
    left.set(id, { ...kept, addresses: redaction.addresses(addresses), entry: redaction.entry(entry) })
    yield
  }
  const cuts: Uint8Array[] = []
  for (const bytes of revocations ?? []) {
    cuts.push(redaction.revocation(bytes))
    yield
  }
  return {
    ...rest,
    self: {
      ...self,
      credentials: redaction.credentials(self.credentials),
      announcement: redaction.announcement(self.announcement),
    },
    table: rows,
    links,
    archive: left,
    revocations: revocations === null ? null : cuts,
  }
}

/** Only the version: the machine may hold the whole record there. */
function versionOf(accused: Version | null): Version | null {
  return accused === null ? null : { incarnation: accused.incarnation, seq: accused.seq }
}

function portableRow({ verified, hash, down }: TableRow, redaction: BlobRedaction | null): PortableRow {
  return { entry: redaction?.entry(verified.entry) ?? verified.entry, hash, down }
}

function portableStep(
  { event, answers, ...rest }: RecordedStep,
  redaction: BlobRedaction | null,
): PortableStep {
  const signed = answers.signed.map(({ message, signature }) => {
    const told = redaction?.signed(message, signature) ?? { message, signature }
    return { digest: sha256(told.message), signature: told.signature }
  })
  const told = redaction === null ? event : rewrittenEvent(event, redaction)
  return { ...rest, event: told, answers: { ...answers, signed } }
}

function rewrittenEvent(event: MembershipEvent, redaction: BlobRedaction): MembershipEvent {
  switch (event.type) {
    case 'frame':
      return { ...event, bytes: redaction.frame(event.bytes) }
    case 'revoke':
      return { ...event, bytes: redaction.revocation(event.bytes) }
    case 'credentials':
      return { ...event, credentials: redaction.credentials(event.credentials) }
    case 'announce':
      return { ...event, announcement: redaction.announcement(event.announcement) }
    default:
      return event
  }
}
