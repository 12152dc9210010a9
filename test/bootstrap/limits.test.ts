import test from 'ava'
import packet, { type Answer } from 'dns-packet'
import {
  parseBootstrapAddress,
  parseBootstrapAddresses,
  validBootstrapAddresses,
} from '../../bootstrap/addresses.ts'
import { BootstrapError } from '../../bootstrap/errors.ts'
import { resolveInviteArgument } from '../../bootstrap/invite-argument.ts'
import { LAN_SERVICE, sightingsIn } from '../../bootstrap/lan-service.ts'
import {
  ADDRESS_CHARACTERS_MAX,
  ADDRESS_LIST_MAX,
  INVITE_FILE_BYTES_MAX,
  LABEL_BYTES_MAX,
  MULTICAST_BYTES_MAX,
  NAME_BYTES_MAX,
  SIGHTING_ADDRESSES_MAX,
  SIGHTINGS_PER_PACKET_MAX,
} from '../../bootstrap/limits.ts'
import { decodeMulticastPacket } from '../../bootstrap/multicast-packet.ts'
import { INVITE_TEXT_MAX } from '../../protocols/admission/limits.ts'
import { peerIdFromKey } from '../../protocols/common/peer-id.ts'

const PEER = peerIdFromKey(new Uint8Array(32).fill(7))
const range = (count: number): number[] => Array.from({ length: count }, (_, i) => i)

test('an address as long as the limit is read, one character more is not looked at', (t) => {
  const ofLength = (characters: number): string => {
    const rest = `/dns4//tcp/1/p2p/${PEER}`.length
    return `/dns4/${'a'.repeat(characters - rest)}/tcp/1/p2p/${PEER}`
  }
  t.is(parseBootstrapAddress(ofLength(ADDRESS_CHARACTERS_MAX)).peer, PEER)
  t.throws(() => parseBootstrapAddress(ofLength(ADDRESS_CHARACTERS_MAX + 1)), {
    instanceOf: BootstrapError,
    code: 'address-malformed',
    message: /too long/,
  })
})

test('a list of addresses is taken up to its limit; by hand a longer one is refused, from outside it is cut', (t) => {
  const list = (count: number) => range(count).map((n) => `/ip4/192.0.2.1/tcp/${n + 1}/p2p/${PEER}`)
  t.is(parseBootstrapAddresses(list(ADDRESS_LIST_MAX)).length, ADDRESS_LIST_MAX)
  t.throws(() => parseBootstrapAddresses(list(ADDRESS_LIST_MAX + 1)), {
    instanceOf: BootstrapError,
    code: 'address-list-too-long',
  })
  t.deepEqual(
    validBootstrapAddresses(list(ADDRESS_LIST_MAX + 1)).map(({ address }) => address),
    list(ADDRESS_LIST_MAX),
  )
})

test('the longest invite is read from a file filled up with white space; a longer file is refused, not cut', async (t) => {
  const invite = `kith://join/${'A'.repeat(INVITE_TEXT_MAX - 'kith://join/'.length)}`
  for (const argument of ['-', 'invite.txt']) {
    const read = (sizeBytes: number): Promise<string> => {
      const file = Buffer.from(invite.padStart(sizeBytes - 1).padEnd(sizeBytes))
      const firstOf = async (maxBytes: number) => file.subarray(0, maxBytes)
      return resolveInviteArgument(argument, {
        readFile: (_, maxBytes) => firstOf(maxBytes),
        readStdin: firstOf,
      })
    }
    t.is(await read(INVITE_FILE_BYTES_MAX), invite)
    const error = await t.throwsAsync(read(INVITE_FILE_BYTES_MAX + 1), { instanceOf: BootstrapError })
    t.is(error.code, 'invite-unreadable')
    t.regex(error.message, /more than/)
  }
})

/** A query with so many questions, these bytes. */
const asking = (count: number, ...questions: readonly number[]): Uint8Array =>
  Uint8Array.of(0, 0, 0, 0, 0, count, 0, 0, 0, 0, 0, 0, ...questions)
/** Type and class of a question. */
const ANY_OF_INTERNET = [0, 255, 0, 1] as const
const label = (sizeBytes: number): number[] => [sizeBytes, ...range(sizeBytes).map(() => 97)]
/** A name of so many bytes on the wire. */
const nameOf = (sizeBytes: number): number[] => {
  const last = sizeBytes - 3 * (LABEL_BYTES_MAX + 1) - 2
  return [...range(3).flatMap(() => label(LABEL_BYTES_MAX)), ...label(last), 0]
}

test('names and packets of the LAN are read up to the bounds of DNS, and are malformed above', (t) => {
  const table: readonly (readonly [string, number, (size: number) => Uint8Array])[] = [
    ['label', LABEL_BYTES_MAX, (size) => asking(1, ...label(size), 0, ...ANY_OF_INTERNET)],
    ['name', NAME_BYTES_MAX, (size) => asking(1, ...nameOf(size), ...ANY_OF_INTERNET)],
    [
      'name that goes on behind a pointer',
      NAME_BYTES_MAX,
      (size) => asking(2, ...nameOf(size - 2), ...ANY_OF_INTERNET, ...label(1), 0xc0, 12, ...ANY_OF_INTERNET),
    ],
    [
      'packet',
      MULTICAST_BYTES_MAX,
      (size) => {
        const start = [0, 0, 0x84, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 16, 0, 1, 0, 0, 0, 0]
        const dataBytes = size - start.length - 2
        return Uint8Array.of(...start, dataBytes >> 8, dataBytes & 0xff, ...range(dataBytes).map(() => 0))
      },
    ],
  ]
  for (const [what, max, ofSize] of table) {
    t.notThrows(() => decodeMulticastPacket(ofSize(max)), `${what} at ${max}`)
    t.throws(
      () => decodeMulticastPacket(ofSize(max + 1)),
      { instanceOf: BootstrapError, code: 'multicast-malformed', message: /too long|packet of/ },
      `${what} at ${max + 1}`,
    )
  }
})

test('of one packet so many sightings are read, of a sighting so many addresses, and the first ones', (t) => {
  const tagOf = (n: number): string => n.toString(16).padStart(32, '0')
  const records = (n: number, addresses: number): Answer[] => {
    const name = `${tagOf(n)}.${LAN_SERVICE}`
    const host = `${tagOf(n)}.local`
    return [
      { type: 'PTR', name: LAN_SERVICE, ttl: 120, data: name },
      { type: 'SRV', name, ttl: 120, data: { port: 4701, target: host } },
      ...range(addresses).map((i): Answer => ({ type: 'A', name: host, ttl: 120, data: `192.0.2.${i}` })),
    ]
  }
  const seen = (answers: Answer[]) =>
    sightingsIn(decodeMulticastPacket(packet.encode({ type: 'response', answers })))
  for (const [max, read] of [
    [
      SIGHTINGS_PER_PACKET_MAX,
      (count: number) => seen(range(count).flatMap((n) => records(n, 1))).map(({ tag }) => parseInt(tag, 16)),
    ],
    [SIGHTING_ADDRESSES_MAX, (count: number) => seen(records(1, count))[0]?.ips.map((ip) => ip[3])],
  ] as const) {
    t.deepEqual(read(max), range(max))
    t.deepEqual(read(max + 1), range(max), 'one more is left out')
  }
})
