import { MalformedError } from '../common/errors.ts'
import { HEADER_BYTES, LABEL_BYTES_MAX, NAME_BYTES_MAX, QUERY_BYTES_MAX } from './limits.ts'

/** RFC 1035 §4.1.1 and RFC 6895 §2.3. */
export const RCODE = {
  NOERROR: 0,
  FORMERR: 1,
  SERVFAIL: 2,
  NXDOMAIN: 3,
  NOTIMP: 4,
  REFUSED: 5,
  BADVERS: 16,
} as const
/** Name of a response code. */
export type Rcode = keyof typeof RCODE

/** Query types Kith knows by name; others are `TYPEn` (RFC 3597). */
const TYPE_NAMES: ReadonlyMap<number, string> = new Map([
  [1, 'A'],
  [2, 'NS'],
  [5, 'CNAME'],
  [6, 'SOA'],
  [12, 'PTR'],
  [15, 'MX'],
  [16, 'TXT'],
  [28, 'AAAA'],
  [33, 'SRV'],
  [41, 'OPT'],
  [64, 'SVCB'],
  [65, 'HTTPS'],
  [252, 'AXFR'],
  [255, 'ANY'],
])
const TYPE_OPT = 41
const CLASS_IN = 1
const CLASS_ANY = 255

/** A query as far as a server must understand it. */
export interface Query {
  readonly id: number
  readonly opcode: number
  readonly recursionDesired: boolean
  /** As sent, letter case kept (draft-vixie-dnsext-dns0x20): labels joined by dots, no final dot. */
  readonly name: string
  readonly type: string
  readonly isInternet: boolean
  /** The question section's bytes, echoed in the answer. */
  readonly question: Uint8Array
  /** RFC 6891; null when the client sent no OPT record. */
  readonly edns: { readonly version: number; readonly udpBytes: number } | null
}

/** What can be said about a packet that is not a well-formed query. */
export class QueryError extends MalformedError {
  /** What to answer, or null for silence (a response, or no header at all: answering could loop). */
  readonly rcode: Rcode | null
  readonly id: number

  constructor(message: string, id: number, rcode: Rcode | null) {
    super(message)
    this.id = id
    this.rcode = rcode
  }
}

/**
 * Decodes a query. Counts are checked against the length before anything is read, compression pointers are refused in the
 * question (no client sends them), and nothing is allocated by counts: both CPU attacks on dns-packet's decoder end here.
 * @throws QueryError, and nothing else.
 */
export function decodeQuery(bytes: Uint8Array): Query {
  if (bytes.length < HEADER_BYTES) throw new QueryError(`DNS packet of ${bytes.length} bytes`, 0, null)
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  const id = view.getUint16(0)
  const flags = view.getUint16(2)
  if ((flags & 0x8000) !== 0) throw new QueryError('a DNS response where a query was expected', id, null)
  if (bytes.length > QUERY_BYTES_MAX)
    throw new QueryError(`DNS query of ${bytes.length} bytes`, id, 'FORMERR')
  const opcode = (flags >> 11) & 0xf
  if (opcode !== 0) throw new QueryError(`DNS opcode ${opcode}`, id, 'NOTIMP')
  const [questions, answers, authorities, additionals] = [4, 6, 8, 10].map((offset) =>
    view.getUint16(offset),
  ) as [number, number, number, number]
  // RFC 9619: a query has exactly one question.
  if (questions !== 1 || answers !== 0 || authorities !== 0 || additionals > 2) {
    throw new QueryError(
      `DNS query with counts ${questions}/${answers}/${authorities}/${additionals}`,
      id,
      'FORMERR',
    )
  }
  const { name, next } = readName(bytes, HEADER_BYTES, id)
  if (next + 4 > bytes.length) throw new QueryError('DNS question cut short', id, 'FORMERR')
  const type = view.getUint16(next)
  const classCode = view.getUint16(next + 2)
  return {
    id,
    opcode,
    recursionDesired: (flags & 0x0100) !== 0,
    name,
    type: TYPE_NAMES.get(type) ?? `TYPE${type}`,
    isInternet: classCode === CLASS_IN || classCode === CLASS_ANY,
    question: bytes.slice(HEADER_BYTES, next + 4),
    edns: readEdns(bytes, view, next + 4, additionals, id),
  }
}

function readName(bytes: Uint8Array, start: number, id: number): { name: string; next: number } {
  const labels: string[] = []
  let offset = start
  for (;;) {
    const length = bytes[offset]
    if (
      length === undefined ||
      length > LABEL_BYTES_MAX ||
      offset + 1 + length > bytes.length ||
      offset - start > NAME_BYTES_MAX - 1
    ) {
      throw new QueryError(`DNS name broken at byte ${offset}`, id, 'FORMERR')
    }
    offset += 1
    if (length === 0) return { name: labels.join('.'), next: offset }
    labels.push(readLabel(bytes.subarray(offset, offset + length)))
    offset += length
  }
}

/** RFC 4343 §2.1: bytes that are no plain host-name characters are written \DDD, so a dot inside a label stays one. */
function readLabel(label: Uint8Array): string {
  let text = ''
  for (const byte of label) {
    const plain = byte > 0x20 && byte < 0x7f && byte !== 0x2e && byte !== 0x5c
    text += plain ? String.fromCharCode(byte) : `\\${String(byte).padStart(3, '0')}`
  }
  return text
}

function readEdns(
  bytes: Uint8Array,
  view: DataView,
  start: number,
  count: number,
  id: number,
): Query['edns'] {
  let offset = start
  let edns: Query['edns'] = null
  for (let i = 0; i < count; i += 1) {
    const { name, next } = readName(bytes, offset, id)
    if (next + 10 > bytes.length) throw new QueryError('DNS additional record cut short', id, 'FORMERR')
    const end = next + 10 + view.getUint16(next + 8)
    if (end > bytes.length) throw new QueryError('DNS additional record cut short', id, 'FORMERR')
    if (view.getUint16(next) === TYPE_OPT) {
      // RFC 6891 §6.1.1: the owner is the root and there is only one.
      if (edns !== null || name !== '') throw new QueryError('a second OPT record', id, 'FORMERR')
      edns = { udpBytes: view.getUint16(next + 2), version: bytes[next + 5] ?? 0 }
    }
    offset = end
  }
  if (offset !== bytes.length)
    throw new QueryError(`${bytes.length - offset} bytes after the DNS query`, id, 'FORMERR')
  return edns
}
