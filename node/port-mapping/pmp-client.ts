import { isIPv4 } from 'node:net'
import { equalBytes } from '../../protocols/common/bytes.ts'
import { MalformedError } from '../../protocols/common/errors.ts'
import type { Random } from '../../protocols/common/ports.ts'
import type { MappingClient, PortRequest } from './client.ts'
import { PortMappingError } from './errors.ts'
import { LEASE_S } from './limits.ts'
import type { Grant } from './mapping-state.ts'
import {
  decodePcpMap,
  decodePmpAddress,
  decodePmpMap,
  encodePcpMap,
  encodePmpAddress,
  encodePmpMap,
  PMP_PORT,
} from './pmp-wire.ts'
import { withUdp, type UdpQuestion } from './udp-question.ts'

const PCP_NONCE_SIZE = 12
const UNSUPPORTED_VERSION = 1
/** Network failure, and an external address that cannot be provided (RFC 6887 §7.4). */
const PCP_NO_ADDRESS = [7, 11]
/** Network failure (RFC 6886 §3.5). */
const PMP_NO_ADDRESS = [3]

/** PCP (RFC 6887). Its nonce proves later that a mapping is ours, so one client lives as long as the mapping. */
export class PcpClient implements MappingClient {
  readonly method = 'pcp'
  readonly #nonce: Uint8Array

  constructor(random: Random) {
    this.#nonce = random.bytes(PCP_NONCE_SIZE)
  }

  map(request: PortRequest, signal: AbortSignal): Promise<Grant> {
    return withUdp(request.gateway, PMP_PORT, signal, (question) => this.#ask(question, request, LEASE_S))
  }

  async unmap(request: PortRequest, signal: AbortSignal): Promise<void> {
    await withUdp(request.gateway, PMP_PORT, signal, (question) => this.#ask(question, request, 0))
  }

  async #ask(question: UdpQuestion, { port, externalPort }: PortRequest, leaseS: number): Promise<Grant> {
    const map = { internalPort: port, externalPort: leaseS === 0 ? 0 : externalPort, leaseS }
    const bytes = encodePcpMap(map, ipv4Bytes(question.ownAddress), this.#nonce)
    const answer = await question.ask(bytes, (received) => {
      // A router that speaks NAT-PMP only answers in its words that it does not know this version.
      if (received[0] === 0 && received.length >= 4 && received[3] === UNSUPPORTED_VERSION)
        throw new PortMappingError('mapping-none', 'the router speaks NAT-PMP, not PCP')
      const decoded = orMalformed(() => decodePcpMap(received))
      return equalBytes(decoded.nonce, this.#nonce) && decoded.internalPort === port ? decoded : null
    })
    accept(answer.result, PCP_NO_ADDRESS)
    const { address, externalPort: given, leaseS: grantedS, epochS } = answer
    return { externalAddress: address, externalPort: given, leaseMs: grantedS * 1000, epochS }
  }
}

/** NAT-PMP (RFC 6886). */
export class NatPmpClient implements MappingClient {
  readonly method = 'nat-pmp'

  map({ gateway, port, externalPort }: PortRequest, signal: AbortSignal): Promise<Grant> {
    return withUdp(gateway, PMP_PORT, signal, async (question) => {
      const { address, result } = await question.ask(encodePmpAddress(), (bytes) =>
        bytes[1] === 0x80 ? orMalformed(() => decodePmpAddress(bytes)) : null,
      )
      accept(result, PMP_NO_ADDRESS)
      const answer = await this.#map(question, port, externalPort, LEASE_S)
      return {
        externalAddress: address,
        externalPort: answer.externalPort,
        leaseMs: answer.leaseS * 1000,
        epochS: answer.epochS,
      }
    })
  }

  async unmap({ gateway, port }: PortRequest, signal: AbortSignal): Promise<void> {
    // Port 0 outside and no time: as RFC 6886 §3.4 has it.
    await withUdp(gateway, PMP_PORT, signal, (question) => this.#map(question, port, 0, 0))
  }

  async #map(question: UdpQuestion, internalPort: number, externalPort: number, leaseS: number) {
    const answer = await question.ask(encodePmpMap({ internalPort, externalPort, leaseS }), (bytes) => {
      if (bytes[1] !== 0x82) return null
      const decoded = orMalformed(() => decodePmpMap(bytes))
      return decoded.internalPort === internalPort ? decoded : null
    })
    accept(answer.result, PMP_NO_ADDRESS)
    return answer
  }
}

function accept(result: number, noAddress: readonly number[]): void {
  if (result === 0) return
  if (noAddress.includes(result))
    throw new PortMappingError('mapping-no-address', `the router has no public address (result ${result})`)
  throw new PortMappingError('mapping-refused', `the router refused with result ${result}`)
}

function orMalformed<T>(decode: () => T): T {
  try {
    return decode()
  } catch (error) {
    if (!(error instanceof MalformedError)) throw error
    throw new PortMappingError('mapping-malformed', error.message, { cause: error })
  }
}

/** The 4 bytes of a dotted address. @throws PortMappingError `mapping-malformed` */
export function ipv4Bytes(text: string): Uint8Array {
  if (!isIPv4(text)) throw new PortMappingError('mapping-malformed', `"${text}" is no IPv4 address`)
  return Uint8Array.from(text.split('.'), Number)
}
