import { firstFrame } from '../common/first-frame.ts'
import { cborFormat, row, z } from '../common/format.ts'
import { OPEN_BYTES_MAX, OPENS_REMEMBERED_MAX } from './limits.ts'

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

/** Frames that were made, by service, and services that were read, by frame: the same few are asked for again and again. */
const made = new Map<string, Uint8Array>()
const read = new Map<string, string>()

/** The whole OPEN frame for a service; not to be changed. */
export function openFrame(service: string): Uint8Array {
  return remembered(made, service, () => firstFrame(OpenFormat.encode({ version: 1, service })))
}

/** The service an OPEN body asks for. @throws MalformedError */
export function readOpen(body: Uint8Array): string {
  return remembered(read, String.fromCharCode(...body), () => OpenFormat.decode(body).service)
}

function remembered<T>(memory: Map<string, T>, key: string, make: () => T): T {
  const known = memory.get(key)
  if (known !== undefined) return known
  const value = make()
  if (memory.size >= OPENS_REMEMBERED_MAX) memory.clear()
  memory.set(key, value)
  return value
}
