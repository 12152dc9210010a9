import packet, { type Answer, type Packet, type RecordType } from 'dns-packet'
import { ipMultiaddr } from './ip-bytes.ts'
import {
  KNOWN_ANSWERS_MAX,
  LAN_TTL_SECONDS,
  LEGACY_TTL_SECONDS,
  SIGHTING_ADDRESSES_MAX,
  SIGHTINGS_PER_PACKET_MAX,
} from './limits.ts'
import { TYPE, type MulticastPacket, type Question } from './multicast-packet.ts'

/** The service type (RFC 6763 §4.1.2, §7): the only thing that says Kith. */
export const LAN_SERVICE = '_kith._tcp.local'

/** Where a node listens for the mesh on one link: a TCP port and the addresses, 4 or 16 bytes each. */
export interface Endpoint {
  readonly port: number
  readonly ips: readonly Uint8Array[]
}

/** One node on the LAN, as a packet shows it. A `ttlSeconds` of 0 is its farewell. */
export interface Sighting {
  readonly tag: string
  readonly ttlSeconds: number
  readonly port: number
  readonly ips: readonly Uint8Array[]
}

/** Asks who is there, listing the tags already known (RFC 6762 §7.1), at most `KNOWN_ANSWERS_MAX`. */
export function encodeLanQuery(knownTags: readonly string[]): Uint8Array {
  return encode({
    type: 'query',
    questions: [{ name: LAN_SERVICE, type: 'PTR' }],
    answers: knownTags.slice(0, KNOWN_ANSWERS_MAX).map((tag) => pointer(tag, LAN_TTL_SECONDS)),
  })
}

/**
 * The records of one node: pointer, SRV, the TXT record that RFC 6763 §6.1 demands (empty) and addresses. What was asked for
 * stands in the answer section, the rest is additional; without questions (an announcement) all are answers.
 * @param ttlSeconds 0 for a farewell.
 */
export function encodeLanAnswer(
  tag: string,
  endpoint: Endpoint,
  questions: readonly Question[] = [],
  ttlSeconds = LAN_TTL_SECONDS,
): Uint8Array {
  const records = recordsOf(tag, endpoint, ttlSeconds, true)
  return encode({ type: 'response', flags: packet.AUTHORITATIVE_ANSWER, ...sections(records, questions) })
}

/** The answer for a client that is no multicast querier (RFC 6762 §6.7): id and question repeated, short times, no flush bit. */
export function encodeLegacyAnswer(
  tag: string,
  endpoint: Endpoint,
  id: number,
  questions: readonly Question[],
): Uint8Array {
  return encode({
    type: 'response',
    id,
    flags: packet.AUTHORITATIVE_ANSWER,
    questions: questions.map(({ name, type }) => ({
      name,
      type: (TYPE_NAMES.get(type) ?? 'ANY') as RecordType,
    })),
    ...sections(recordsOf(tag, endpoint, LEGACY_TTL_SECONDS, false), questions),
  })
}

/** Those of the questions that the node of this tag answers. */
export function ownQuestions(questions: readonly Question[], tag: string): Question[] {
  return questions.filter(({ name, type }) => {
    if (name === LAN_SERVICE) return SERVICE_TYPES.has(type)
    if (name === `${tag}.${LAN_SERVICE}`) return INSTANCE_TYPES.has(type)
    return name === `${tag}.local` && HOST_TYPES.has(type)
  })
}

/** Whether the querier already knows the node of this tag, for at least half of its time to live. */
export function isKnownAnswer({ records }: MulticastPacket, tag: string): boolean {
  return records.some(
    (record) =>
      record.type === 'PTR' &&
      record.name === LAN_SERVICE &&
      record.target === `${tag}.${LAN_SERVICE}` &&
      record.ttlSeconds >= LAN_TTL_SECONDS / 2,
  )
}

/** The nodes a response shows whole: a pointer with SRV and addresses in the same packet, as every node sends them. */
export function sightingsIn({ records }: MulticastPacket): Sighting[] {
  const sightings: Sighting[] = []
  for (const { name, ttlSeconds, ...record } of records) {
    if (record.type !== 'PTR' || name !== LAN_SERVICE) continue
    const tag = /^([0-9a-f]{32})\._kith\._tcp\.local$/.exec(record.target)?.[1]
    if (tag === undefined || sightings.length === SIGHTINGS_PER_PACKET_MAX) continue
    const host = `${tag}.local`
    let port = 0
    const ips: Uint8Array[] = []
    for (const other of records) {
      if (other.type === 'SRV' && other.name === record.target && other.target === host) port = other.port
      if (other.type === 'address' && other.name === host && ips.length < SIGHTING_ADDRESSES_MAX)
        ips.push(other.ip)
    }
    if (port !== 0) sightings.push({ tag, ttlSeconds, port, ips })
  }
  return sightings
}

const TYPE_NAMES: ReadonlyMap<number, 'A' | 'AAAA' | 'PTR' | 'SRV' | 'TXT'> = new Map([
  [TYPE.A, 'A'],
  [TYPE.AAAA, 'AAAA'],
  [TYPE.PTR, 'PTR'],
  [TYPE.SRV, 'SRV'],
  [TYPE.TXT, 'TXT'],
])
/** Types each of our names has records of. */
const SERVICE_TYPES: ReadonlySet<number> = new Set([TYPE.PTR, TYPE.ANY])
const INSTANCE_TYPES: ReadonlySet<number> = new Set([TYPE.SRV, TYPE.TXT, TYPE.ANY])
const HOST_TYPES: ReadonlySet<number> = new Set([TYPE.A, TYPE.AAAA, TYPE.ANY])

function pointer(tag: string, ttl: number): Answer {
  return { name: LAN_SERVICE, type: 'PTR', ttl, data: `${tag}.${LAN_SERVICE}` }
}

/** The pointer is shared by all nodes; the others are this node's alone, so receivers drop what they had (RFC 6762 §10.2). */
function recordsOf(tag: string, { port, ips }: Endpoint, ttl: number, flush: boolean): Answer[] {
  const name = `${tag}.${LAN_SERVICE}`
  const host = `${tag}.local`
  return [
    pointer(tag, ttl),
    { name, type: 'SRV', ttl, flush, data: { priority: 0, weight: 0, port, target: host } },
    { name, type: 'TXT', ttl, flush, data: [''] },
    ...ips.map((ip): Answer => {
      const [, , data = ''] = ipMultiaddr(ip).split('/')
      return { name: host, type: ip.length === 4 ? 'A' : 'AAAA', ttl, flush, data }
    }),
  ]
}

function sections(
  records: readonly Answer[],
  questions: readonly Question[],
): { answers: Answer[]; additionals: Answer[] } {
  const isAsked = (record: Answer): boolean =>
    questions.length === 0 ||
    questions.some(
      ({ name, type }) => name === record.name && (type === TYPE.ANY || TYPE_NAMES.get(type) === record.type),
    )
  return {
    answers: records.filter((record) => isAsked(record)),
    additionals: records.filter((record) => !isAsked(record)),
  }
}

/** Built by dns-packet, which never reads what others send. */
function encode(value: Packet): Uint8Array {
  return Uint8Array.from(packet.encode(value))
}
