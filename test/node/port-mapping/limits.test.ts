import { createSocket } from 'node:dgram'
import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import test from 'ava'
import { MalformedError } from '../../../protocols/common/errors.ts'
import { PortMappingError } from '../../../node/port-mapping/errors.ts'
import { defaultGateway, ROUTES_MAX } from '../../../node/port-mapping/gateway.ts'
import {
  LOCATIONS_MAX,
  SEARCH_ANSWER_BYTES_MAX,
  SERVICES_MAX,
  URL_MAX,
  XML_BYTES_MAX,
} from '../../../node/port-mapping/limits.ts'
import { decodePcpMap, PCP_BYTES_MAX } from '../../../node/port-mapping/pmp-wire.ts'
import { UpnpClient } from '../../../node/port-mapping/upnp-client.ts'
import { controlPoint, faultCode, gatewayUrl, locationOf } from '../../../node/port-mapping/upnp-wire.ts'

const GATEWAY = '192.168.1.1'
const LOCATION = new URL(`http://${GATEWAY}/root.xml`)
const service = (type: string): string =>
  `<service><serviceType>urn:schemas-upnp-org:service:${type}</serviceType><controlURL>/c</controlURL></service>`
const WAN = service('WANIPConnection:1')

function pcpAnswer(sizeBytes: number): Uint8Array {
  const bytes = new Uint8Array(sizeBytes)
  bytes.set([2, 0x81])
  bytes[36] = 6
  return bytes
}

/** A bound, what reads something of a size, and where the bound is: true when it was taken in. */
const BOUNDS: readonly (readonly [
  what: string,
  isTaken: (size: number) => boolean,
  max: number,
  step: number,
])[] = [
  [
    'bytes of a PCP answer',
    (size) => taken(MalformedError, () => decodePcpMap(pcpAnswer(size))),
    PCP_BYTES_MAX,
    4,
  ],
  [
    'bytes of an answer to a search',
    (size) =>
      locationOf(`HTTP/1.1 200 OK\r\nLOCATION: ${LOCATION.href}\r\n\r\n`.padEnd(size), GATEWAY) !== null,
    SEARCH_ANSWER_BYTES_MAX,
    1,
  ],
  [
    'characters of a URL',
    (size) => gatewayUrl(LOCATION.href.padEnd(size, 'x'), GATEWAY) !== null,
    URL_MAX,
    1,
  ],
  [
    'bytes of a description',
    (size) => taken(PortMappingError, () => controlPoint(WAN.padEnd(size), LOCATION)),
    XML_BYTES_MAX,
    1,
  ],
  [
    'bytes of a fault',
    (size) => taken(PortMappingError, () => faultCode('<errorCode>718</errorCode>'.padEnd(size))),
    XML_BYTES_MAX,
    1,
  ],
  [
    'services of a description',
    (size) =>
      taken(PortMappingError, () => controlPoint(`${service('Other:1').repeat(size - 1)}${WAN}`, LOCATION)),
    SERVICES_MAX,
    1,
  ],
  ['routes of the kernel', (size) => defaultGateway(routes(size)) === GATEWAY, ROUTES_MAX, 1],
]

function taken(Refusal: new (...values: never[]) => Error, read: () => unknown): boolean {
  try {
    read()
    return true
  } catch (error) {
    if (error instanceof Refusal) return false
    throw error
  }
}

/** A table whose last route is the default one. */
function routes(count: number): string {
  const other = 'eth0\t0001A8C0\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\t0\t0'
  const best = 'eth0\t00000000\t0101A8C0\t0003\t0\t0\t100\t00000000\t0\t0\t0'
  return ['Iface\tDestination\tGateway', ...Array.from({ length: count - 1 }, () => other), best].join('\n')
}

for (const [what, isTaken, max, step] of BOUNDS)
  test(`${what}: so many are read, more are not`, (t) => {
    t.true(isTaken(max))
    t.false(isTaken(max + step))
  })

test('a gateway that names itself many times is asked at few of these places, and its answers are cut off', async (t) => {
  const gateway = '127.0.0.77'
  const asked: string[] = []
  const descriptions = createServer((request, response) => {
    asked.push(request.url ?? '')
    response.on('error', () => undefined)
    response.end(asked.length === 1 ? WAN.padStart(XML_BYTES_MAX + 1) : '<root/>')
  })
  descriptions.listen(0, gateway)
  await once(descriptions, 'listening')
  const { port } = descriptions.address() as AddressInfo
  const places = createSocket({ type: 'udp4', reuseAddr: true })
  places.once('message', (_search, from) => {
    for (let n = 0; n <= LOCATIONS_MAX; n++)
      places.send(
        `HTTP/1.1 200 OK\r\nLOCATION: http://${gateway}:${port}/${n}\r\n\r\n`,
        from.port,
        from.address,
      )
  })
  places.bind(1900, gateway)
  await once(places, 'listening')
  const wish = { gateway, port: 4701, externalPort: 4701 }
  const mapping = new UpnpClient().map(wish, AbortSignal.timeout(10_000))
  t.like(await t.throwsAsync(mapping, { instanceOf: PortMappingError }), { code: 'mapping-malformed' })
  t.deepEqual(
    asked,
    Array.from({ length: LOCATIONS_MAX }, (_, n) => `/${n}`),
  )
  places.close()
  descriptions.close()
})
