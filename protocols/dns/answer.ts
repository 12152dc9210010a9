import packet from 'dns-packet'
import { concat } from '../common/bytes.ts'
import { UDP_BYTES_EDNS, UDP_BYTES_PLAIN } from './limits.ts'
import type { ResourceRecord } from './records.ts'
import { RCODE, type Query, type Rcode } from './wire.ts'

/** What to put into a response. */
export interface Response {
  readonly rcode: Rcode
  readonly answers: readonly ResourceRecord[]
  readonly authority: readonly ResourceRecord[]
}

const FLAG_RESPONSE = 0x8000
const FLAG_AUTHORITATIVE = 0x0400
const FLAG_TRUNCATED = 0x0200
const FLAG_RECURSION_DESIRED = 0x0100

/** dns-packet's record codec; its type package leaves it out. */
const { answer: recordCodec } = packet as unknown as { answer: { encode(record: ResourceRecord): Buffer } }

/**
 * Encodes the response to a query: its question bytes echoed as they came, EDNS only if asked for, and over UDP cut to an
 * empty answer with TC set when it does not fit (RFC 2181 §9), so that the client asks again over TCP.
 */
export function encodeResponse(query: Query, response: Response, transport: 'udp' | 'tcp'): Uint8Array {
  const opt = query.edns === null ? undefined : optRecord(response.rcode)
  const whole = assemble(query, response, opt, 0)
  if (transport === 'tcp' || whole.length <= udpLimit(query)) return whole
  return assemble(query, { rcode: response.rcode, answers: [], authority: [] }, opt, FLAG_TRUNCATED)
}

/** The answer to something that could not be read: header only. */
export function encodeFailure(id: number, rcode: Rcode): Uint8Array {
  return header(id, FLAG_RESPONSE | (RCODE[rcode] & 0xf), [0, 0, 0, 0])
}

function assemble(
  query: Query,
  response: Response,
  opt: Uint8Array | undefined,
  extraFlags: number,
): Uint8Array {
  const flags =
    FLAG_RESPONSE |
    (response.rcode === 'REFUSED' ? 0 : FLAG_AUTHORITATIVE) |
    (query.recursionDesired ? FLAG_RECURSION_DESIRED : 0) |
    extraFlags |
    (RCODE[response.rcode] & 0xf)
  const counts = [1, response.answers.length, response.authority.length, opt === undefined ? 0 : 1] as const
  const records = [...response.answers, ...response.authority].map((record) => recordCodec.encode(record))
  return concat(
    header(query.id, flags, counts),
    query.question,
    ...records,
    ...(opt === undefined ? [] : [opt]),
  )
}

function header(id: number, flags: number, counts: readonly [number, number, number, number]): Uint8Array {
  const bytes = new Uint8Array(12)
  const view = new DataView(bytes.buffer)
  for (const [index, value] of [id, flags, ...counts].entries()) view.setUint16(index * 2, value)
  return bytes
}

/** RFC 6891 §6.1.2: root owner, type 41, our UDP size, the upper eight bits of the response code, version 0, no options. */
function optRecord(rcode: Rcode): Uint8Array {
  const bytes = new Uint8Array(11)
  const view = new DataView(bytes.buffer)
  view.setUint16(1, 41)
  view.setUint16(3, UDP_BYTES_EDNS)
  bytes[5] = RCODE[rcode] >> 4
  return bytes
}

function udpLimit(query: Query): number {
  if (query.edns === null) return UDP_BYTES_PLAIN
  return Math.min(Math.max(query.edns.udpBytes, UDP_BYTES_PLAIN), UDP_BYTES_EDNS)
}
