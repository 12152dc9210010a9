import { z } from 'zod'
import {
  authorityBodyFormat,
  authorityFormat,
  credentialsFormat,
  memberBodyFormat,
  memberFormat,
} from '../../protocols/admission/wire.ts'
import type { Member } from '../../protocols/admission/certificates.ts'
import { MalformedError } from '../../protocols/common/errors.ts'
import { peerIdFromKey } from '../../protocols/common/peer-id.ts'
import type { Snapshot } from '../../protocols/membership/snapshot.ts'
import { decodeStatement } from '../../protocols/registry/entry.ts'
import { placeOf, type TableRow } from '../../protocols/registry/table.ts'
import { statementFormat, type MemberEntry } from '../../protocols/registry/wire.ts'
import { recordingSchema, rowSchema, snapshotSchema, stepSchema } from './recording-schema.ts'
import type { PortableRecording, PortableRow, PortableSnapshot } from './portable-recording.ts'

const withoutTableSchema = snapshotSchema.omit({ table: true })
const restSchema = recordingSchema.omit({ checkpoint: true, steps: true, final: true })

/** A recording as JSON, in parts between which a generator yields. */
export function* encodeRecording(recording: PortableRecording): Generator<undefined, unknown> {
  const { checkpoint, steps, final, ...rest } = recording
  const encoded: unknown[] = []
  for (const step of steps) {
    encoded.push(z.encode(stepSchema, step as unknown as z.output<typeof stepSchema>))
    yield
  }
  const [first, last] = [yield* encodeSnapshot(checkpoint), yield* encodeSnapshot(final)]
  const outside = z.encode(restSchema, rest as unknown as z.output<typeof restSchema>)
  return { ...outside, checkpoint: first, steps: encoded, final: last }
}

function* encodeSnapshot(snapshot: PortableSnapshot): Generator<undefined, unknown> {
  const { table, ...rest } = snapshot
  const rows: unknown[] = []
  for (const row of table) {
    rows.push(z.encode(rowSchema, row))
    yield
  }
  const encoded = z.encode(withoutTableSchema, rest as unknown as z.output<typeof withoutTableSchema>)
  yield
  return { ...encoded, table: rows }
}

/** @throws MalformedError, and nothing else. */
export function decodeRecording(value: unknown): PortableRecording {
  const decoded = z.safeDecode(recordingSchema, value as never)
  if (decoded.success) return decoded.data
  const [issue] = decoded.error.issues
  throw new MalformedError(`recording: ${issue?.path.join('.') ?? ''}: ${issue?.message ?? 'invalid'}`)
}

/** A snapshot as JSON text: equal for equal states. */
export function snapshotText(snapshot: PortableSnapshot): string {
  return JSON.stringify(z.encode(snapshotSchema, snapshot as unknown as z.output<typeof snapshotSchema>))
}

/**
 * The snapshot a machine goes on from.
 * @throws MalformedError when an entry does not decode.
 */
export function fullSnapshot({ self, table, ...rest }: PortableSnapshot): Snapshot {
  const rows = table.map(rowOf)
  return { ...rest, self: { ...self, member: memberOf(self.credentials) }, table: rows }
}

function rowOf({ entry, hash, down }: PortableRow): TableRow {
  const member = memberOf(entry.credentials)
  const statement = decodeStatement(entry.kind, statementFormat.decode(entry.statement).body)
  const { id, key } = member
  return { id, key, place: placeOf(key), hash, down, verified: { entry, statement, member } }
}

/** What credentials say; whether it is true was checked before they were recorded. */
function memberOf(credentials: MemberEntry['credentials']): Member {
  const pair = credentialsFormat.decode(credentials)
  const {
    subject: key,
    version: _version,
    ...told
  } = memberBodyFormat.decode(memberFormat.decode(pair.member).body)
  const authority = authorityBodyFormat.decode(authorityFormat.decode(pair.authority).body)
  return { id: peerIdFromKey(key), key, ...told, authority }
}
