import { createSocket } from 'node:dgram'
import { once } from 'node:events'
import { request as httpRequest } from 'node:http'
import { scopeOf } from '../../protocols/traversal/endpoint.ts'
import type { MappingClient, PortRequest } from './client.ts'
import { PortMappingError } from './errors.ts'
import { HTTP_MS, LEASE_MAX_MS, LEASE_S, LOCATIONS_MAX, SEARCH_MS, XML_BYTES_MAX } from './limits.ts'
import type { Grant } from './mapping-state.ts'
import { ipv4Bytes } from './pmp-client.ts'
import { withUdp } from './udp-question.ts'
import {
  controlPoint,
  elementText,
  faultCode,
  locationOf,
  SEARCH_TARGETS,
  searchMessage,
  soapRequest,
  type ControlPoint,
} from './upnp-wire.ts'

const SSDP_GROUP = '239.255.255.250'
const SSDP_PORT = 1900
/** UPnP WANIPConnection: error codes that mean something to us. */
const CONFLICT = 718
const SAME_PORTS_ONLY = 724
const PERMANENT_ONLY = 725
const NOT_THERE = 714

/** UPnP IGD, versions 1 and 2. Speaks to the default gateway and to nobody else. */
export class UpnpClient implements MappingClient {
  readonly method = 'upnp'
  /** Where the gateway took orders last; looked for anew when it fails, as a router that restarts chooses another port. */
  #known: { readonly gateway: string; readonly point: ControlPoint } | null = null

  async map({ gateway, port, externalPort }: PortRequest, signal: AbortSignal): Promise<Grant> {
    const point = await this.#point(gateway, signal)
    try {
      const answer = await call(point, 'GetExternalIPAddress', {}, signal)
      const outside = elementText(answer.xml, 'NewExternalIPAddress') ?? ''
      if (answer.fault !== null || outside === '' || outside === '0.0.0.0')
        throw new PortMappingError('mapping-no-address', 'the router names no address of its own')
      const externalAddress = ipv4Bytes(outside)
      const values = {
        NewRemoteHost: '',
        NewExternalPort: externalPort,
        NewProtocol: 'TCP',
        NewInternalPort: port,
        NewInternalClient: await ownAddress(gateway, signal),
        NewEnabled: 1,
        NewPortMappingDescription: 'Kith',
      }
      let leaseMs = LEASE_S * 1000
      let mapped = await call(point, 'AddPortMapping', { ...values, NewLeaseDuration: LEASE_S }, signal)
      if (mapped.fault === PERMANENT_ONLY) {
        leaseMs = LEASE_MAX_MS
        mapped = await call(point, 'AddPortMapping', { ...values, NewLeaseDuration: 0 }, signal)
      }
      // Behind another NAT routers refuse; what they say of their own address is the better reason.
      if (mapped.fault === CONFLICT || mapped.fault === SAME_PORTS_ONLY)
        throw new PortMappingError('mapping-conflict', `outside port ${externalPort} is taken`)
      if (mapped.fault !== null && isPublic(externalAddress))
        throw new PortMappingError('mapping-refused', `the router refused by UPnP with error ${mapped.fault}`)
      return { externalAddress, externalPort, leaseMs, epochS: null }
    } catch (error) {
      this.#known = null
      throw error
    }
  }

  async unmap({ gateway, externalPort }: PortRequest, signal: AbortSignal): Promise<void> {
    const point = await this.#point(gateway, signal)
    const values = { NewRemoteHost: '', NewExternalPort: externalPort, NewProtocol: 'TCP' }
    const { fault } = await call(point, 'DeletePortMapping', values, signal)
    if (fault !== null && fault !== NOT_THERE)
      throw new PortMappingError('mapping-refused', `the router kept the mapping with error ${fault}`)
  }

  async #point(gateway: string, signal: AbortSignal): Promise<ControlPoint> {
    if (this.#known?.gateway === gateway) return this.#known.point
    let failure = new PortMappingError('mapping-none', `${gateway} does not answer a search by UPnP`)
    for (const location of await search(gateway, signal)) {
      try {
        const { xml } = await http(location, 'GET', {}, '', signal)
        const point = controlPoint(xml, location)
        this.#known = { gateway, point }
        return point
      } catch (error) {
        if (!(error instanceof PortMappingError)) throw error
        failure = error
      }
    }
    throw failure
  }
}

function isPublic(address: Uint8Array): boolean {
  return scopeOf(address) === 'public'
}

async function ownAddress(gateway: string, signal: AbortSignal): Promise<string> {
  return withUdp(gateway, SSDP_PORT, signal, (question) => Promise.resolve(question.ownAddress))
}

/** Where a search cannot go, for want of a route, nobody answers: the time for it ends. */
const unsent = (): void => undefined

/** Descriptions the gateway names; answers of other hosts are not read. */
async function search(gateway: string, signal: AbortSignal): Promise<URL[]> {
  const local = await ownAddress(gateway, signal)
  const socket = createSocket('udp4')
  const found = new Map<string, URL>()
  try {
    await new Promise<void>((done, fail) => {
      const timer = setTimeout(done, SEARCH_MS)
      const onAbort = (): void => fail(signal.reason as Error)
      signal.addEventListener('abort', onAbort)
      socket.once('close', () => {
        clearTimeout(timer)
        signal.removeEventListener('abort', onAbort)
      })
      // Each datagram may bring one.
      socket.on('error', (cause) => fail(new PortMappingError('mapping-none', 'cannot search', { cause })))
      socket.on('message', (message, from) => {
        if (from.address !== gateway) return
        const url = locationOf(message.toString('latin1'), gateway)
        if (url === null || found.size === LOCATIONS_MAX) return
        found.set(url.href, url)
        // Others that come until then are of the same gateway.
        setTimeout(done, 200)
      })
      socket.bind(0, local, () => {
        try {
          socket.setMulticastInterface(local)
          socket.setMulticastTTL(2)
        } catch (cause) {
          // The address went away since.
          return fail(new PortMappingError('mapping-none', 'cannot search', { cause }))
        }
        for (const target of SEARCH_TARGETS)
          for (const host of [SSDP_GROUP, gateway])
            socket.send(searchMessage(host, target), SSDP_PORT, host, unsent)
      })
    })
  } finally {
    const closed = once(socket, 'close')
    socket.close()
    await closed
  }
  return [...found.values()]
}

/** Calls an action. @returns the answer and the fault's code, null when it was done. */
async function call(
  point: ControlPoint,
  action: string,
  values: Readonly<Record<string, string | number>>,
  signal: AbortSignal,
): Promise<{ xml: string; fault: number | null }> {
  const headers = { 'content-type': 'text/xml; charset="utf-8"', soapaction: `"${point.service}#${action}"` }
  const { status, xml } = await http(
    point.url,
    'POST',
    headers,
    soapRequest(point.service, action, values),
    signal,
  )
  const fault = faultCode(xml)
  if (status !== 200 && fault === null)
    throw new PortMappingError('mapping-malformed', `the gateway answered with HTTP status ${status}`)
  return { xml, fault }
}

/** One request by HTTP, no redirects, bounded in time and size. @throws PortMappingError */
function http(
  url: URL,
  method: 'GET' | 'POST',
  headers: Readonly<Record<string, string>>,
  body: string,
  outer: AbortSignal,
): Promise<{ status: number; xml: string }> {
  const signal = AbortSignal.any([outer, AbortSignal.timeout(HTTP_MS)])
  return new Promise((done, fail) => {
    const failed = (cause: Error): void =>
      fail(
        outer.aborted ? cause : new PortMappingError('mapping-none', `no answer from ${url.host}`, { cause }),
      )
    const length = { 'content-length': String(Buffer.byteLength(body)) }
    const sent = httpRequest(
      url,
      { method, headers: { ...headers, ...length, connection: 'close' }, signal, agent: false },
      (response) => {
        let xml = ''
        response.setEncoding('utf8')
        response.on('error', failed)
        response.on('data', (text: string) => {
          xml += text
          if (xml.length <= XML_BYTES_MAX) return
          fail(new PortMappingError('mapping-malformed', `the gateway sent more than ${XML_BYTES_MAX} bytes`))
          sent.destroy()
        })
        response.on('end', () => done({ status: response.statusCode ?? 0, xml }))
      },
    )
    sent.on('error', failed)
    // Without a listener Node drops such an answer, and nobody is told.
    sent.on('upgrade', (_response, socket) => {
      socket.destroy()
      fail(new PortMappingError('mapping-malformed', 'the gateway answered with another protocol than HTTP'))
    })
    sent.on('close', () => failed(new Error('the connection was closed'))) // nothing new where it was answered
    sent.end(body)
  })
}
