import { MalformedError } from '../../protocols/common/errors.ts'

/** Port both protocols are served on. */
export const PMP_PORT = 5351
const TCP = 6
const PCP_VERSION = 2
const PCP_MAP = 1
const PCP_MAP_SIZE = 60
const ANSWER = 0x80
const PMP_MAP_TCP = 2
/** RFC 6887 §3.2.2: longest PCP message. */
export const PCP_BYTES_MAX = 1100

/** A request to map a TCP port; `leaseS` 0 takes it back. */
export interface MapRequest {
  readonly internalPort: number
  readonly externalPort: number
  readonly leaseS: number
}

/** What NAT-PMP answers to the question for the address. */
export interface PmpAddress {
  readonly result: number
  readonly epochS: number
  /** 4 bytes. */
  readonly address: Uint8Array
}

/** What both protocols answer to a request to map. `result` 0: granted. */
export interface MapAnswer {
  readonly result: number
  readonly epochS: number
  readonly internalPort: number
  readonly externalPort: number
  readonly leaseS: number
}

/** A PCP answer names the nonce of its request and the address. */
export interface PcpAnswer extends MapAnswer {
  /** 12 bytes. */
  readonly nonce: Uint8Array
  /** 4 or 16 bytes. */
  readonly address: Uint8Array
}

/** NAT-PMP, RFC 6886 §3.2: where the router stands on its other side. */
export function encodePmpAddress(): Uint8Array {
  return Uint8Array.of(0, 0)
}

/** NAT-PMP, RFC 6886 §3.3: map a TCP port. */
export function encodePmpMap({ internalPort, externalPort, leaseS }: MapRequest): Uint8Array {
  const bytes = new Uint8Array(12)
  const view = new DataView(bytes.buffer)
  view.setUint8(1, PMP_MAP_TCP)
  view.setUint16(4, internalPort)
  view.setUint16(6, externalPort)
  view.setUint32(8, leaseS)
  return bytes
}

/** @throws MalformedError */
export function decodePmpAddress(bytes: Uint8Array): PmpAddress {
  const view = pmpAnswer(bytes, 0, 12)
  return { result: view.getUint16(2), epochS: view.getUint32(4), address: bytes.slice(8, 12) }
}

/** @throws MalformedError */
export function decodePmpMap(bytes: Uint8Array): MapAnswer {
  const view = pmpAnswer(bytes, PMP_MAP_TCP, 16)
  return {
    result: view.getUint16(2),
    epochS: view.getUint32(4),
    internalPort: view.getUint16(8),
    externalPort: view.getUint16(10),
    leaseS: view.getUint32(12),
  }
}

function pmpAnswer(bytes: Uint8Array, operation: number, size: number): DataView {
  if (bytes.length !== size || bytes[0] !== 0 || bytes[1] !== (ANSWER | operation))
    throw new MalformedError(`not a NAT-PMP answer of ${size} bytes`)
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.length)
}

/** PCP, RFC 6887 §7.1 and §11.1: map a TCP port of `client`, 4 bytes, which is this host: others are never asked for. */
export function encodePcpMap(request: MapRequest, client: Uint8Array, nonce: Uint8Array): Uint8Array {
  const bytes = new Uint8Array(PCP_MAP_SIZE)
  const view = new DataView(bytes.buffer)
  view.setUint8(0, PCP_VERSION)
  view.setUint8(1, PCP_MAP)
  view.setUint32(4, request.leaseS)
  bytes.set([0xff, 0xff], 18)
  bytes.set(client, 20)
  bytes.set(nonce, 24)
  view.setUint8(36, TCP)
  view.setUint16(40, request.internalPort)
  view.setUint16(42, request.externalPort)
  bytes.set([0xff, 0xff], 54) // no wish for an address: ::ffff:0.0.0.0
  return bytes
}

/** Options behind the answer are not read. @throws MalformedError, also for a NAT-PMP answer, whose router speaks no PCP. */
export function decodePcpMap(bytes: Uint8Array): PcpAnswer {
  if (bytes.length < PCP_MAP_SIZE || bytes.length > PCP_BYTES_MAX || bytes.length % 4 !== 0)
    throw new MalformedError(`PCP answer of ${bytes.length} bytes`)
  if (bytes[0] !== PCP_VERSION || bytes[1] !== (ANSWER | PCP_MAP) || bytes[36] !== TCP)
    throw new MalformedError('not a PCP answer to a request to map TCP')
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length)
  const address = bytes.slice(44, 60)
  const isMapped = address.subarray(0, 10).every((byte) => byte === 0) && view.getUint16(54) === 0xffff
  return {
    result: view.getUint8(3),
    leaseS: view.getUint32(4),
    epochS: view.getUint32(8),
    nonce: bytes.slice(24, 36),
    internalPort: view.getUint16(40),
    externalPort: view.getUint16(42),
    address: isMapped ? address.slice(12) : address,
  }
}
