import test from 'ava'
import { CREDENTIALS_BYTES_MAX } from '../../../protocols/admission/limits.ts'
import {
  ADDRESS_CHARACTERS_MAX,
  ADDRESSES_MAX,
  LEASE_SECONDS_MAX,
  RELAYS_MAX,
  SERVICE_SUBJECTS_MAX,
  SERVICE_TAGS_MAX,
  SERVICES_MAX,
  STATEMENT_BYTES_MAX,
} from '../../../protocols/registry/limits.ts'
import { entryFormat, registrationFormat, statementFormat } from '../../../protocols/registry/wire.ts'
import { decodesUpTo, readsUpTo } from '../common/format-bounds.ts'

const KEY = new Uint8Array(32)
const list = <T>(count: number, item: T): T[] => Array.from({ length: count }, () => item)
/** A registration as it travels, with some of its fields changed. */
const registration = (
  change: { leaseSeconds?: number; addresses?: string[]; relays?: Uint8Array[]; services?: unknown[] } = {},
): unknown[] => {
  const { leaseSeconds = 1, addresses = [], relays = [], services = [] } = change
  return [1, KEY, 0, 0, 0, leaseSeconds, addresses, relays, services, new Uint8Array(8)]
}
const service = (tags: string[] = [], allow: string[] = []): unknown[] => [
  'wiki',
  'tcp',
  1,
  tags,
  allow,
  false,
  true,
  0,
]

test('each bound of a registration: at it another node reads it, with one more it is malformed', (t) => {
  decodesUpTo(t, registrationFormat, [
    ['seconds of a lease', LEASE_SECONDS_MAX, (leaseSeconds) => registration({ leaseSeconds })],
    ['addresses', ADDRESSES_MAX, (count) => registration({ addresses: list(count, '/ip4/192.0.2.1/tcp/1') })],
    [
      'characters of an address',
      ADDRESS_CHARACTERS_MAX,
      (length) => registration({ addresses: ['/'.repeat(length)] }),
    ],
    ['relays', RELAYS_MAX, (count) => registration({ relays: list(count, KEY) })],
    ['services', SERVICES_MAX, (count) => registration({ services: list(count, service()) })],
    [
      'tags of a service',
      SERVICE_TAGS_MAX,
      (count) => registration({ services: [service(list(count, 'web'))] }),
    ],
    [
      'subjects of a service',
      SERVICE_SUBJECTS_MAX,
      (count) => registration({ services: [service([], list(count, 'members'))] }),
    ],
  ])
})

test('statements and entries are read up to their sizes, and longer ones are refused unread', (t) => {
  readsUpTo(t, registrationFormat, registrationFormat.maxBytes)
  readsUpTo(t, statementFormat, STATEMENT_BYTES_MAX)
  readsUpTo(t, entryFormat, entryFormat.maxBytes)
  const signed = statementFormat.encode({
    body: new Uint8Array(registrationFormat.maxBytes),
    signature: new Uint8Array(64),
  })
  t.true(signed.length <= STATEMENT_BYTES_MAX, 'the longest registration fits a statement')
  decodesUpTo(t, entryFormat, [
    [
      'bytes of a statement',
      STATEMENT_BYTES_MAX,
      (size) => ['leave', new Uint8Array(size), new Uint8Array(CREDENTIALS_BYTES_MAX)],
    ],
    [
      'bytes of credentials',
      CREDENTIALS_BYTES_MAX,
      (size) => ['leave', new Uint8Array(STATEMENT_BYTES_MAX), new Uint8Array(size)],
    ],
  ])
})
