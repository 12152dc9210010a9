import test from 'ava'
import fc from 'fast-check'
import { fromHex, toHex, utf8 } from '../../../protocols/common/bytes.ts'
import { MalformedError } from '../../../protocols/common/errors.ts'
import { PortMappingError } from '../../../node/port-mapping/errors.ts'
import { defaultGateway } from '../../../node/port-mapping/gateway.ts'
import { URL_MAX, XML_BYTES_MAX } from '../../../node/port-mapping/limits.ts'
import {
  decodePcpMap,
  decodePmpAddress,
  decodePmpMap,
  encodePcpMap,
  encodePmpAddress,
  encodePmpMap,
} from '../../../node/port-mapping/pmp-wire.ts'
import {
  controlPoint,
  elementText,
  faultCode,
  gatewayUrl,
  locationOf,
  searchMessage,
  soapRequest,
} from '../../../node/port-mapping/upnp-wire.ts'

const GATEWAY = '192.168.1.1'
const request = { internalPort: 7070, externalPort: 7071, leaseS: 7200 }
const nonce = fromHex('000102030405060708090a0b')

test('requests have the bytes of RFC 6886 and RFC 6887', (t) => {
  t.is(toHex(encodePmpAddress()), '0000')
  t.is(toHex(encodePmpMap(request)), '000200001b9e1b9f00001c20')
  t.is(
    toHex(encodePcpMap(request, Uint8Array.of(192, 168, 1, 2), nonce)),
    '0201000000001c20' +
      '00000000000000000000ffffc0a80102' +
      '000102030405060708090a0b' +
      '06000000' +
      '1b9e1b9f' +
      '00000000000000000000ffff00000000',
  )
})

test('answers are read, and in IPv4 where they carry it', (t) => {
  t.deepEqual(decodePmpAddress(fromHex('008000000000001e0b000101')), {
    result: 0,
    epochS: 30,
    address: Uint8Array.of(11, 0, 1, 1),
  })
  const granted = { epochS: 30, internalPort: 7070, externalPort: 7071, leaseS: 7200 }
  t.deepEqual(decodePmpMap(fromHex('008200000000001e1b9e1b9f00001c20')), { result: 0, ...granted })
  const pcp = `0281000000001c200000001e${'00'.repeat(12)}${toHex(nonce)}060000001b9e1b9f${'00'.repeat(10)}ffff0b000101`
  t.deepEqual(decodePcpMap(fromHex(pcp)), {
    result: 0,
    nonce,
    address: Uint8Array.of(11, 0, 1, 1),
    ...granted,
  })
})

test('whatever comes as an answer, only a MalformedError comes of it', (t) => {
  const decoders = [decodePmpAddress, decodePmpMap, decodePcpMap]
  const own = [encodePmpMap(request), encodePcpMap(request, Uint8Array.of(1, 2, 3, 4), nonce)]
  const bytes = fc.oneof(
    fc.uint8Array({ maxLength: 1200 }),
    fc.tuple(fc.constantFrom(...own), fc.nat(59), fc.nat(255)).map(([some, at, value]) => {
      const changed = Uint8Array.from(some)
      changed[at % changed.length] = value
      return changed
    }),
  )
  fc.assert(
    fc.property(bytes, fc.constantFrom(...decoders), (input, decode) => {
      try {
        decode(input)
      } catch (error) {
        t.true(error instanceof MalformedError)
      }
    }),
  )
  for (const [i, decode] of decoders.entries())
    t.throws(() => decode(own[i % 2] ?? nonce), { instanceOf: MalformedError })
})

test('a PCP answer reads as what was put into it', (t) => {
  const port = fc.nat(65_535)
  fc.assert(
    fc.property(
      port,
      port,
      fc.nat(0xffff_ffff),
      fc.uint8Array({ minLength: 12, maxLength: 12 }),
      (a, b, leaseS, n) => {
        const bytes = encodePcpMap({ internalPort: a, externalPort: b, leaseS }, Uint8Array.of(1, 2, 3, 4), n)
        bytes[1] = 0x81
        t.like(decodePcpMap(bytes), { internalPort: a, externalPort: b, leaseS, nonce: n })
        const pmp = encodePmpMap({ internalPort: a, externalPort: b, leaseS })
        const answer = Uint8Array.of(0, 0x82, 0, 0, 0, 0, 0, 1, ...pmp.subarray(4))
        t.like(decodePmpMap(answer), { internalPort: a, externalPort: b, leaseS, epochS: 1 })
      },
    ),
  )
})

const answer = (location: string): string => `HTTP/1.1 200 OK\r\nST: x\r\nLOCATION: ${location}\r\n\r\n`

test('a description is looked for on the gateway only', (t) => {
  t.is(
    locationOf(answer('http://192.168.1.1:5000/root.xml'), GATEWAY)?.href,
    'http://192.168.1.1:5000/root.xml',
  )
  for (const elsewhere of [
    'http://192.168.1.9:5000/root.xml',
    'http://router.example/root.xml',
    'https://192.168.1.1/root.xml',
    'file:///etc/passwd',
    'http://user:word@192.168.1.1/',
    'http://192.168.1.1@11.0.0.1/',
    'http://192.168.1.1:0/',
    `http://192.168.1.1/${'a'.repeat(URL_MAX)}`,
    'no url',
  ])
    t.is(locationOf(answer(elsewhere), GATEWAY), null, elsewhere)
  t.is(locationOf(`HTTP/1.1 404 Not Found\r\nLOCATION: http://${GATEWAY}/\r\n\r\n`, GATEWAY), null)
  t.is(locationOf('', GATEWAY), null)
  t.is(searchMessage(GATEWAY, 'all').split('\r\n')[1], 'HOST: 192.168.1.1:1900')
})

const service = (version: string, url: string): string =>
  `<service><serviceType>urn:schemas-upnp-org:service:${version}</serviceType><controlURL>${url}</controlURL></service>`
const location = new URL('http://192.168.1.1:5000/root.xml')

test('orders go to the best service, and never to another host', (t) => {
  const both = `<root>${service('WANPPPConnection:1', '/ppp')}${service('WANIPConnection:1', '/ip?a=1&amp;b=2')}</root>`
  t.is(controlPoint(both, location).url.href, 'http://192.168.1.1:5000/ip?a=1&b=2')
  const relative = service('WANIPConnection:2', 'ctl/IPConn')
  t.is(controlPoint(relative, location).url.href, 'http://192.168.1.1:5000/ctl/IPConn')
  for (const bad of [
    service('WANIPConnection:1', 'http://10.0.0.1/ctl'),
    service('WANIPConnection:1', '//10.0.0.1/ctl'),
    service('Layer3Forwarding:1', '/ctl'),
    '<service>'.repeat(7000),
    ' '.repeat(XML_BYTES_MAX + 1),
    '',
  ])
    t.throws(() => controlPoint(bad, location), { instanceOf: PortMappingError, code: 'mapping-malformed' })
})

test('whatever a description says, it leads to the gateway or ends in the own error, and fast', (t) => {
  const part = fc.oneof(
    fc.string(),
    fc.constantFrom('<service>', '</service>', '<controlURL>', '<serviceType>', '</', '<controlURL', '&amp;'),
    fc.webUrl().map((url) => service('WANIPConnection:1', url)),
  )
  const begun = performance.now()
  fc.assert(
    fc.property(fc.array(part, { maxLength: 50 }), (parts) => {
      try {
        t.is(controlPoint(parts.join(''), location).url.hostname, GATEWAY)
      } catch (error) {
        t.true(error instanceof PortMappingError)
      }
    }),
  )
  t.is(elementText('<a'.repeat(30_000), 'a'), null)
  t.true(performance.now() - begun < 10_000)
})

test('SOAP has its form, and its faults their code', (t) => {
  t.is(
    soapRequest('urn:x', 'Do', { A: 1, B: 'b' }),
    '<?xml version="1.0"?>\r\n<s:Envelope xmlns:s="http://schemas.xmlsoap.org/soap/envelope/" s:encodingStyle="http://schemas.xmlsoap.org/soap/encoding/"><s:Body><u:Do xmlns:u="urn:x"><A>1</A><B>b</B></u:Do></s:Body></s:Envelope>\r\n',
  )
  t.is(faultCode('<UPnPError><errorCode>718</errorCode></UPnPError>'), 718)
  t.is(faultCode('<errorCode>many</errorCode>'), null)
  t.is(faultCode('<ok/>'), null)
  t.is(gatewayUrl('/x', GATEWAY, location)?.pathname, '/x')
  t.is(toHex(utf8(elementText('<a><New x="1"> 1.2.3.4 </New></a>', 'New') ?? '')), toHex(utf8('1.2.3.4')))
})

test('the default gateway is the one of the best route that is up', (t) => {
  const head = 'Iface\tDestination\tGateway\tFlags\tRefCnt\tUse\tMetric\tMask\tMTU\tWindow\tIRTT\n'
  const row = (
    gateway: string,
    flags: string,
    metric: number,
    destination = '00000000',
    mask = '00000000',
  ): string => `eth0\t${destination}\t${gateway}\t${flags}\t0\t0\t${metric}\t${mask}\t0\t0\t0\n`
  t.is(defaultGateway(head + row('0102000A', '0003', 100) + row('0101A8C0', '0003', 50)), '192.168.1.1')
  t.is(defaultGateway(head + row('0101A8C0', '0002', 0)), null, 'down')
  t.is(defaultGateway(head + row('00000000', '0001', 0)), null, 'no gateway')
  t.is(defaultGateway(head + row('0101A8C0', '0003', 0, '000A0000', '00FF0000')), null, 'one network only')
  t.is(defaultGateway(''), null)
  t.is(defaultGateway('\n\u0000\nx'), null)
})
