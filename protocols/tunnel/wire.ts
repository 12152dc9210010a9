import { cborFormat, row, z } from '../common/format.ts'
import { OPEN_BYTES_MAX } from './limits.ts'

/** First frame of a tunnel stream, consumer to provider: which service. Preceded by its length as u16. */
export const OpenFormat = cborFormat(
  'tunnel open',
  row({ version: z.literal(1), service: z.string().min(1).max(63) }),
  OPEN_BYTES_MAX,
)

/** The provider's answer; after `ok` both directions carry the service's own bytes. Preceded by its length as u16. */
export const OpenedFormat = cborFormat(
  'tunnel answer',
  row({ ok: z.boolean(), code: z.string().max(64), text: z.string().max(512) }),
  OPEN_BYTES_MAX,
)

/** Puts the two length bytes in front. */
export function frame(body: Uint8Array): Uint8Array {
  const out = new Uint8Array(2 + body.length)
  new DataView(out.buffer).setUint16(0, body.length)
  out.set(body, 2)
  return out
}
