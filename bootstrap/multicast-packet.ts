import { BootstrapError } from './errors.ts'
import { LABEL_BYTES_MAX, MULTICAST_BYTES_MAX, NAME_BYTES_MAX, POINTERS_MAX } from './limits.ts'

/** Record types LAN discovery speaks of (RFC 1035, 2782, 3596), and the question for all of them. */
export const TYPE = { A: 1, PTR: 12, TXT: 16, AAAA: 28, SRV: 33, ANY: 255 } as const

/** A question; `name` in lower case, labels joined by dots. */
export interface Question {
  readonly name: string
  readonly type: number
}

/** A record LAN discovery understands. */
export type LanRecord = { readonly name: string; readonly ttlSeconds: number } & (
  | { readonly type: 'PTR'; readonly target: string }
  | { readonly type: 'SRV'; readonly port: number; readonly target: string }
  /** 4 or 16 bytes. */
  | { readonly type: 'address'; readonly ip: Uint8Array }
)

/** A multicast DNS packet as far as LAN discovery must understand it. */
export interface MulticastPacket {
  readonly id: number
  readonly isResponse: boolean
  /** The known answers of a query go on in the next packet (RFC 6762 §7.2). */
  readonly isTruncated: boolean
  readonly questions: readonly Question[]
  /** Of the answer and additional sections; records of other types are passed over. */
  readonly records: readonly LanRecord[]
}

const HEADER_BYTES = 12
/** Root name, type, class; a record has a time to live and a length too. */
const QUESTION_BYTES_MIN = 5
const RECORD_BYTES_MIN = 11
const CLASS_IN = 1
const CLASS_ANY = 255
/** Above the class: cache flush in records, "unicast please" in questions (RFC 6762 §10.2, §5.4). */
const CLASS_MASK = 0x7fff

/**
 * Reads a multicast DNS packet of anybody on the LAN. Counts are checked against the length before anything is allocated, and
 * compression pointers lead backwards only and a few times a name, so that reading costs no more than the packet is long times
 * a small constant. Names are told apart by bytes; those that are no host-name characters are written `\DDD`.
 * @throws BootstrapError `multicast-malformed`, and nothing else.
 */
export function decodeMulticastPacket(bytes: Uint8Array): MulticastPacket {
  if (bytes.length < HEADER_BYTES || bytes.length > MULTICAST_BYTES_MAX)
    throw malformed(`packet of ${bytes.length} bytes`)
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  const flags = view.getUint16(2)
  // RFC 6762 §18.3, §18.11: other operations and response codes do not exist in multicast.
  if ((flags & 0x780f) !== 0) throw malformed(`flags ${flags.toString(16)}`)
  const [questionCount, answerCount, authorityCount, additionalCount] = [4, 6, 8, 10].map((at) =>
    view.getUint16(at),
  ) as [number, number, number, number]
  const recordCount = answerCount + authorityCount + additionalCount
  if (HEADER_BYTES + questionCount * QUESTION_BYTES_MIN + recordCount * RECORD_BYTES_MIN > bytes.length)
    throw malformed(`${questionCount} questions and ${recordCount} records in ${bytes.length} bytes`)
  const questions: Question[] = []
  const records: LanRecord[] = []
  let offset = HEADER_BYTES
  for (let i = 0; i < questionCount; i++) {
    const { name, next } = readName(bytes, offset)
    need(bytes, next, 4)
    const type = view.getUint16(next)
    const classCode = view.getUint16(next + 2) & CLASS_MASK
    if (classCode === CLASS_IN || classCode === CLASS_ANY) questions.push({ name, type })
    offset = next + 4
  }
  for (let i = 0; i < recordCount; i++) {
    const { record, next } = readRecord(bytes, view, offset)
    const isAuthority = i >= answerCount && i < answerCount + authorityCount
    if (record !== null && !isAuthority) records.push(record)
    offset = next
  }
  if (offset !== bytes.length) throw malformed(`${bytes.length - offset} bytes behind the last record`)
  return {
    id: view.getUint16(0),
    isResponse: (flags & 0x8000) !== 0,
    isTruncated: (flags & 0x0200) !== 0,
    questions,
    records,
  }
}

function readRecord(
  bytes: Uint8Array,
  view: DataView,
  offset: number,
): { record: LanRecord | null; next: number } {
  const { name, next: fixed } = readName(bytes, offset)
  need(bytes, fixed, 10)
  const type = view.getUint16(fixed)
  const isInternet = (view.getUint16(fixed + 2) & CLASS_MASK) === CLASS_IN
  const ttlSeconds = view.getUint32(fixed + 4)
  const size = view.getUint16(fixed + 8)
  const data = fixed + 10
  const next = data + size
  need(bytes, data, size)
  const skipped = { record: null, next }
  if (!isInternet) return skipped
  switch (type) {
    case TYPE.PTR:
      return { record: { name, ttlSeconds, type: 'PTR', target: nameFilling(bytes, data, next) }, next }
    case TYPE.SRV: {
      if (size < 7) throw malformed(`SRV data of ${size} bytes`)
      const target = nameFilling(bytes, data + 6, next)
      return { record: { name, ttlSeconds, type: 'SRV', port: view.getUint16(data + 4), target }, next }
    }
    case TYPE.A:
    case TYPE.AAAA:
      if (size !== (type === TYPE.A ? 4 : 16)) throw malformed(`an address of ${size} bytes`)
      return { record: { name, ttlSeconds, type: 'address', ip: bytes.slice(data, next) }, next }
    default:
      return skipped
  }
}

function nameFilling(bytes: Uint8Array, start: number, end: number): string {
  const { name, next } = readName(bytes, start)
  if (next !== end) throw malformed(`name at byte ${start} does not fill its data`)
  return name
}

/** RFC 1035 §3.1 and §4.1.4, with each pointer leading before where the name, or the part of it that pointed, began. */
function readName(bytes: Uint8Array, start: number): { name: string; next: number } {
  const labels: string[] = []
  let offset = start
  let floor = start
  let next: number | null = null
  let size = 0
  let pointers = 0
  for (;;) {
    const length = bytes[offset]
    if (length === undefined) throw malformed('name cut short')
    if (length === 0) return { name: labels.join('.'), next: next ?? offset + 1 }
    if (length >= 0xc0) {
      const low = bytes[offset + 1]
      if (low === undefined) throw malformed('pointer cut short')
      const target = ((length & 0x3f) << 8) | low
      pointers++
      if (target >= floor || target < HEADER_BYTES || pointers > POINTERS_MAX)
        throw malformed(`pointer from byte ${offset} to ${target}`)
      next ??= offset + 2
      offset = target
      floor = target
      continue
    }
    size += length + 1
    if (length > LABEL_BYTES_MAX || size > NAME_BYTES_MAX - 1)
      throw malformed(`name too long at byte ${offset}`)
    need(bytes, offset + 1, length)
    labels.push(readLabel(bytes.subarray(offset + 1, offset + 1 + length)))
    offset += length + 1
  }
}

/** RFC 4343: names are compared without regard to the case of ASCII letters; a dot inside a label stays one. */
function readLabel(label: Uint8Array): string {
  let text = ''
  for (const byte of label) {
    const isPlain = byte > 0x20 && byte < 0x7f && byte !== 0x2e && byte !== 0x5c
    text += isPlain ? String.fromCharCode(byte).toLowerCase() : `\\${String(byte).padStart(3, '0')}`
  }
  return text
}

function need(bytes: Uint8Array, offset: number, count: number): void {
  if (offset + count > bytes.length) throw malformed(`cut short at byte ${bytes.length}`)
}

function malformed(text: string): BootstrapError {
  return new BootstrapError('multicast-malformed', `not a multicast DNS packet: ${text}`)
}
