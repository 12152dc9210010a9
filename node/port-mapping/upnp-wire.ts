import { PortMappingError } from './errors.ts'
import { SEARCH_ANSWER_BYTES_MAX, SERVICES_MAX, URL_MAX, XML_BYTES_MAX } from './limits.ts'

/** Services that map ports, the better ones first. */
const SERVICES = [
  'urn:schemas-upnp-org:service:WANIPConnection:2',
  'urn:schemas-upnp-org:service:WANIPConnection:1',
  'urn:schemas-upnp-org:service:WANPPPConnection:1',
] as const
const ENTITIES: Readonly<Record<string, string>> = { amp: '&', lt: '<', gt: '>', quot: '"', apos: "'" }

/** Where a gateway takes orders. */
export interface ControlPoint {
  readonly service: string
  readonly url: URL
}

/** What is searched for: gateways of both versions; version 2 answers for version 1 too, but not each does. */
export const SEARCH_TARGETS = [
  'urn:schemas-upnp-org:device:InternetGatewayDevice:1',
  'urn:schemas-upnp-org:device:InternetGatewayDevice:2',
] as const

/** A search by SSDP (UPnP Device Architecture 1.1, §1.3.2). */
export function searchMessage(host: string, target: string): string {
  return `M-SEARCH * HTTP/1.1\r\nHOST: ${host}:1900\r\nMAN: "ssdp:discover"\r\nMX: 1\r\nST: ${target}\r\n\r\n`
}

/** Where the answer to a search says the description is; null unless that is on the gateway itself. */
export function locationOf(answer: string, gateway: string): URL | null {
  if (answer.length > SEARCH_ANSWER_BYTES_MAX || !/^HTTP\/1\.[01] 200 /.test(answer)) return null
  const line = answer.split('\r\n').find((each) => /^location:/i.test(each))
  return line === undefined ? null : gatewayUrl(line.slice('location:'.length).trim(), gateway)
}

/** A URL that leads to the gateway by plain HTTP and nowhere else, so that nobody makes us ask another host; null otherwise. */
export function gatewayUrl(text: string, gateway: string, base?: URL): URL | null {
  if (text.length > URL_MAX || !URL.canParse(text, base)) return null
  const url = new URL(text, base)
  const isPlain = url.protocol === 'http:' && url.username === '' && url.password === ''
  return isPlain && url.hostname === gateway && url.port !== '0' ? url : null
}

/** Where the described gateway takes orders. @throws PortMappingError `mapping-malformed` when nowhere, or on another host. */
export function controlPoint(description: string, location: URL): ControlPoint {
  const parts = bounded(description)
    .split('<service>', SERVICES_MAX + 1)
    .slice(1)
  const found = parts.flatMap((part) => {
    const end = part.indexOf('</service>')
    const block = end === -1 ? part : part.slice(0, end)
    const service = elementText(block, 'serviceType')
    const url = gatewayUrl(elementText(block, 'controlURL') ?? '', location.hostname, location)
    return service === null || url === null ? [] : [{ service, url }]
  })
  for (const service of SERVICES) {
    const point = found.find((each) => each.service === service)
    if (point !== undefined) return point
  }
  throw new PortMappingError('mapping-malformed', `the gateway describes no service that maps ports`)
}

/** A SOAP request's body. Values are ours: numbers, addresses, words without markup. */
export function soapRequest(
  service: string,
  action: string,
  values: Readonly<Record<string, string | number>>,
): string {
  const elements = Object.entries(values).map(([name, value]) => `<${name}>${value}</${name}>`)
  return (
    '<?xml version="1.0"?>\r\n<s:Envelope xmlns:s="http://schemas.xmlsoap.org/soap/envelope/" ' +
    's:encodingStyle="http://schemas.xmlsoap.org/soap/encoding/"><s:Body>' +
    `<u:${action} xmlns:u="${service}">${elements.join('')}</u:${action}></s:Body></s:Envelope>\r\n`
  )
}

/** The error code of a SOAP fault; null when there is none. */
export function faultCode(xml: string): number | null {
  const text = elementText(bounded(xml), 'errorCode')
  return text !== null && /^\d{1,4}$/.test(text) ? Number(text) : null
}

/** Text of the first element of that name; null when there is none. Linear in the length, whatever the text is. */
export function elementText(xml: string, name: string): string | null {
  const opening = `<${name}`
  for (let at = xml.indexOf(opening); at !== -1; at = xml.indexOf(opening, at + 1)) {
    const after = xml[at + opening.length] ?? ''
    if (after !== '>' && after.trim() !== '') continue // a longer name
    const begin = xml.indexOf('>', at) + 1
    const end = begin === 0 ? -1 : xml.indexOf('<', begin)
    if (end === -1) return null
    return xml
      .slice(begin, end)
      .trim()
      .replace(/&(amp|lt|gt|quot|apos);/g, (_, entity: string) => ENTITIES[entity] ?? '')
  }
  return null
}

function bounded(xml: string): string {
  if (xml.length > XML_BYTES_MAX)
    throw new PortMappingError('mapping-malformed', `the gateway sent more than ${XML_BYTES_MAX} bytes`)
  return xml
}
