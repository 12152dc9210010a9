import test from 'ava'
import { encode } from 'cborg'
import { MalformedError } from '../../../protocols/common/errors.ts'
import type { Format } from '../../../protocols/common/format.ts'
import { readRequest, readResult, TEXT_MAX, writeRequest } from '../../../protocols/admission/ceremony.ts'
import { INVITE_PREFIX, makeInvite, readInvite } from '../../../protocols/admission/invite.ts'
import {
  ADDRESS_CHARACTERS_MAX,
  AUTHORITY_CERTIFICATE_BYTES_MAX,
  CREDENTIALS_BYTES_MAX,
  INVITE_ADDRESSES_MAX,
  INVITE_BYTES_MAX,
  INVITE_TEXT_MAX,
  INVITE_USES_MAX,
  JOIN_ADDRESSES_MAX,
  JOIN_REPLY_BYTES_MAX,
  JOIN_REQUEST_BYTES_MAX,
  MEMBER_CERTIFICATE_BYTES_MAX,
  REVOCATION_BODY_BYTES_MAX,
  REVOCATION_BYTES_MAX,
  REVOCATION_REASON_BYTES_MAX,
  ROOT_BYTES_MAX,
  ROOT_KEYS_MAX,
  TAGS_MAX,
  X509_BYTES_MAX,
} from '../../../protocols/admission/limits.ts'
import { restoreLedger, step, type InviteRecord } from '../../../protocols/admission/machine.ts'
import { makePeerInvite, readPeerInvite } from '../../../protocols/admission/peer-invite.ts'
import * as wire from '../../../protocols/admission/wire.ts'
import {
  EXCHANGE_REPLY_MAX_BYTES,
  EXCHANGE_REQUEST_MAX_BYTES,
} from '../../../protocols/secure-channel/limits.ts'
import { seededRandom, testMesh } from '../membership/world.ts'

const NOW = 1_800_000_000_000
const mesh = testMesh('admission', NOW)
const random = seededRandom('limits test')

const key = new Uint8Array(32)
const id = new Uint8Array(16)
const signature = new Uint8Array(64)
const bytes = (length: number): Uint8Array => new Uint8Array(length)
const label = 'n'.repeat(63)
const address = 'a'.repeat(ADDRESS_CHARACTERS_MAX)
const keys = (count: number) => Array.from({ length: count }, (_, i) => new Uint8Array(32).fill(i))
const tags = (count: number) => Array.from({ length: count }, (_, i) => `${10 + i}${'t'.repeat(29)}`)
const addresses = (count: number) => Array.from({ length: count }, () => '/ip4/192.0.2.1/tcp/1')
const time = Number.MAX_SAFE_INTEGER
const memberRoles = [...wire.memberRoleSchema.options]
const authorityRoles = [...wire.authorityRoleSchema.options]

// Fields in the order of the wire, each as large as may be where the limit of bytes allows.
const root: unknown[] = [1, label, `${label}.internal`, keys(ROOT_KEYS_MAX), bytes(X509_BYTES_MAX), time]
const authorityBody: unknown[] = [1, id, key, authorityRoles, time, time, key, bytes(X509_BYTES_MAX)]
const memberBody: unknown[] = [1, id, key, label, memberRoles, tags(TAGS_MAX), id, time, time, key]
const inviteBody: unknown[] = [
  1,
  key,
  label,
  key,
  id,
  key,
  [],
  'internet',
  label,
  memberRoles,
  tags(TAGS_MAX),
  1,
  time,
]
const peerInviteBody: unknown[] = [1, bytes(300), bytes(700), [], 'internet']
const record: unknown[] = [id, key, label, memberRoles, tags(TAGS_MAX), INVITE_USES_MAX, time, true]
const accepted: unknown[] = [
  'accepted',
  1,
  key,
  time,
  bytes(ROOT_BYTES_MAX),
  bytes(CREDENTIALS_BYTES_MAX),
  [],
]
const reason = '漢'.repeat(REVOCATION_REASON_BYTES_MAX / 3) + 'x'.repeat(REVOCATION_REASON_BYTES_MAX % 3)
const revoked: unknown[] = ['member', 1, key, id, reason, time, key]
const cut: unknown[] = ['authority', 1, key, time, reason, time, key]
const revocation: unknown[] = [
  bytes(REVOCATION_BODY_BYTES_MAX),
  bytes(AUTHORITY_CERTIFICATE_BYTES_MAX),
  signature,
]
const addRequest: unknown[] = ['add', 1, bytes(ROOT_BYTES_MAX), key, label, authorityRoles]
const retireRequest: unknown[] = ['retire', 1, bytes(ROOT_BYTES_MAX), key, label, time, reason]

type Bound = [
  what: string,
  format: Format<unknown>,
  values: unknown[],
  field: number,
  at: unknown,
  beyond: unknown,
]
const bounds: Bound[] = [
  ['root keys', wire.rootFormat, root, 3, keys(ROOT_KEYS_MAX), keys(ROOT_KEYS_MAX + 1)],
  ['X.509 root', wire.rootFormat, root, 4, bytes(X509_BYTES_MAX), bytes(X509_BYTES_MAX + 1)],
  [
    'X.509 intermediate',
    wire.authorityBodyFormat,
    authorityBody,
    7,
    bytes(X509_BYTES_MAX),
    bytes(X509_BYTES_MAX + 1),
  ],
  ['tags of a member', wire.memberBodyFormat, memberBody, 5, tags(TAGS_MAX), tags(TAGS_MAX + 1)],
  ['tags of an invite', wire.inviteBodyFormat, inviteBody, 10, tags(TAGS_MAX), tags(TAGS_MAX + 1)],
  ['tags in the book', wire.inviteRecordFormat, record, 4, tags(TAGS_MAX), tags(TAGS_MAX + 1)],
  ['uses', wire.inviteBodyFormat, inviteBody, 11, INVITE_USES_MAX, INVITE_USES_MAX + 1],
  ['uses in the book', wire.inviteRecordFormat, record, 5, INVITE_USES_MAX, INVITE_USES_MAX + 1],
  [
    'addresses',
    wire.inviteBodyFormat,
    inviteBody,
    6,
    addresses(INVITE_ADDRESSES_MAX),
    addresses(INVITE_ADDRESSES_MAX + 1),
  ],
  ['an address', wire.inviteBodyFormat, inviteBody, 6, [address], [`${address}a`]],
  [
    'addresses for a peer',
    wire.peerInviteBodyFormat,
    peerInviteBody,
    3,
    addresses(INVITE_ADDRESSES_MAX),
    addresses(INVITE_ADDRESSES_MAX + 1),
  ],
  ['an address for a peer', wire.peerInviteBodyFormat, peerInviteBody, 3, [address], [`${address}a`]],
  [
    'body of an invite',
    wire.inviteFormat,
    [id, key, signature],
    0,
    bytes(INVITE_BYTES_MAX),
    bytes(INVITE_BYTES_MAX + 1),
  ],
  [
    'body for a peer',
    wire.peerInviteFormat,
    [id, signature],
    0,
    bytes(INVITE_BYTES_MAX),
    bytes(INVITE_BYTES_MAX + 1),
  ],
  [
    'member in credentials',
    wire.credentialsFormat,
    [id, id],
    0,
    bytes(MEMBER_CERTIFICATE_BYTES_MAX),
    bytes(MEMBER_CERTIFICATE_BYTES_MAX + 1),
  ],
  [
    'authority in credentials',
    wire.credentialsFormat,
    [id, id],
    1,
    bytes(AUTHORITY_CERTIFICATE_BYTES_MAX),
    bytes(AUTHORITY_CERTIFICATE_BYTES_MAX + 1),
  ],
  [
    'root in a request to retire',
    wire.ceremonyRequestFormat,
    retireRequest.with(6, ''),
    2,
    bytes(ROOT_BYTES_MAX),
    bytes(ROOT_BYTES_MAX + 1),
  ],
  ['root in an answer', wire.joinAnswerFormat, accepted, 4, bytes(ROOT_BYTES_MAX), bytes(ROOT_BYTES_MAX + 1)],
  [
    'credentials in an answer',
    wire.joinAnswerFormat,
    accepted,
    5,
    bytes(CREDENTIALS_BYTES_MAX),
    bytes(CREDENTIALS_BYTES_MAX + 1),
  ],
  [
    'addresses in an answer',
    wire.joinAnswerFormat,
    accepted,
    6,
    addresses(JOIN_ADDRESSES_MAX),
    addresses(JOIN_ADDRESSES_MAX + 1),
  ],
  ['an address in an answer', wire.joinAnswerFormat, accepted, 6, [address], [`${address}a`]],
  [
    'body of an answer',
    wire.signedAnswerFormat,
    [id, signature],
    0,
    bytes(JOIN_REPLY_BYTES_MAX - 512),
    bytes(JOIN_REPLY_BYTES_MAX - 511),
  ],
  [
    'sealed answer',
    wire.joinReplyFormat,
    ['sealed', key, id],
    2,
    bytes(JOIN_REPLY_BYTES_MAX - 128),
    bytes(JOIN_REPLY_BYTES_MAX - 127),
  ],
  ['reason for a member', wire.revocationBodyFormat, revoked, 4, reason, `${reason}x`],
  ['reason for an authority', wire.revocationBodyFormat, cut, 4, reason, `${reason}x`],
  ['reason in a request', wire.ceremonyRequestFormat, retireRequest, 6, reason, `${reason}x`],
  [
    'root in a request',
    wire.ceremonyRequestFormat,
    addRequest,
    2,
    bytes(ROOT_BYTES_MAX),
    bytes(ROOT_BYTES_MAX + 1),
  ],
  [
    'body of a revocation',
    wire.revocationFormat,
    revocation,
    0,
    bytes(REVOCATION_BODY_BYTES_MAX),
    bytes(REVOCATION_BODY_BYTES_MAX + 1),
  ],
  [
    'authority of a revocation',
    wire.revocationFormat,
    revocation,
    1,
    bytes(AUTHORITY_CERTIFICATE_BYTES_MAX),
    bytes(AUTHORITY_CERTIFICATE_BYTES_MAX + 1),
  ],
  [
    'what a ceremony signed',
    wire.ceremonyResultFormat,
    ['add', id],
    1,
    bytes(REVOCATION_BYTES_MAX),
    bytes(REVOCATION_BYTES_MAX + 1),
  ],
]

test('each field of each format decodes at its bound, and one more is malformed', (t) => {
  t.is(Buffer.byteLength(reason), REVOCATION_REASON_BYTES_MAX)
  for (const [what, format, values, field, at, beyond] of bounds) {
    t.notThrows(() => format.decode(encode(values.with(field, at))), what)
    const more = encode(values.with(field, beyond))
    t.true(more.length <= format.maxBytes, `${what}: it is not the length of the whole that refuses it`)
    t.throws(() => format.decode(more), { instanceOf: MalformedError }, what)
  }
})

test('the largest of each kind fits its limit of bytes; what is longer is not even decoded', (t) => {
  const signed = (values: unknown[]) => [encode(values), signature]
  const largest = [
    [wire.rootFormat, ROOT_BYTES_MAX, root],
    [wire.authorityFormat, AUTHORITY_CERTIFICATE_BYTES_MAX, signed(authorityBody)],
    [wire.memberFormat, MEMBER_CERTIFICATE_BYTES_MAX, signed(memberBody)],
    [
      wire.credentialsFormat,
      CREDENTIALS_BYTES_MAX,
      [bytes(MEMBER_CERTIFICATE_BYTES_MAX), bytes(AUTHORITY_CERTIFICATE_BYTES_MAX)],
    ],
    [wire.inviteBodyFormat, INVITE_BYTES_MAX, inviteBody.with(6, addresses(INVITE_ADDRESSES_MAX))],
    [wire.inviteFormat, INVITE_BYTES_MAX + 128, [bytes(INVITE_BYTES_MAX), key, signature]],
    [wire.inviteRecordFormat, INVITE_BYTES_MAX, record],
    [wire.peerInviteBodyFormat, INVITE_BYTES_MAX, peerInviteBody.with(3, [address, address, address])],
    [wire.peerInviteFormat, INVITE_BYTES_MAX + 128, [bytes(INVITE_BYTES_MAX), signature]],
    [wire.joinAnswerFormat, JOIN_REPLY_BYTES_MAX - 512, accepted],
    [wire.signedAnswerFormat, JOIN_REPLY_BYTES_MAX - 256, [bytes(JOIN_REPLY_BYTES_MAX - 512), signature]],
    [wire.ceremonyRequestFormat, ROOT_BYTES_MAX + 512, retireRequest],
    [wire.ceremonyResultFormat, REVOCATION_BYTES_MAX + 32, ['retire', bytes(REVOCATION_BYTES_MAX)]],
    [wire.joinRequestFormat, JOIN_REQUEST_BYTES_MAX, [bytes(512), signature, signature]],
    [wire.joinReplyFormat, JOIN_REPLY_BYTES_MAX, ['sealed', key, bytes(JOIN_REPLY_BYTES_MAX - 128)]],
    [wire.revocationBodyFormat, REVOCATION_BODY_BYTES_MAX, revoked],
    [wire.revocationBodyFormat, REVOCATION_BODY_BYTES_MAX, cut],
    [wire.revocationFormat, REVOCATION_BYTES_MAX, revocation],
  ] as const
  for (const [format, max, values] of largest) {
    t.notThrows(() => format.decode(encode(values)), format.name)
    const tooLong = new RegExp(`the limit is ${max}$`, 'u')
    const error = t.throws(() => format.decode(bytes(max)), { instanceOf: MalformedError }, format.name)
    t.notRegex(error.message, tooLong)
    t.throws(
      () => format.decode(bytes(max + 1)),
      { instanceOf: MalformedError, message: tooLong },
      format.name,
    )
  }
})

test('the largest answer to a join fits the reply, and request and reply the exchange that carries them', (t) => {
  const answer = encode(
    accepted.with(
      6,
      Array.from({ length: JOIN_ADDRESSES_MAX }, () => address),
    ),
  )
  wire.joinAnswerFormat.decode(answer)
  const plaintext = wire.signedAnswerFormat.encode({ body: answer, signature })
  const reply = { kind: 'sealed' as const, encapsulated: key, ciphertext: bytes(plaintext.length + 16) }
  t.true(wire.joinReplyFormat.encode(reply).length <= JOIN_REPLY_BYTES_MAX)
  t.is(JOIN_REPLY_BYTES_MAX, EXCHANGE_REPLY_MAX_BYTES)
  t.is(JOIN_REQUEST_BYTES_MAX, EXCHANGE_REQUEST_MAX_BYTES)
})

test('an invite has as many addresses as its body has room for, and its text is never too long to be read', (t) => {
  const make = (bootstrap: string[]) =>
    makeInvite({
      issuerSigner: mesh.authoritySigner,
      seed: random.bytes(32),
      meshId: mesh.root.meshId,
      meshName: label,
      inviteId: id,
      bootstrap,
      reach: 'internet',
      name: label,
      roles: memberRoles,
      tags: tags(TAGS_MAX),
      uses: 1,
      expires: time,
    })
  const sizeOf = (bootstrap: string[]) => wire.inviteBodyFormat.encode(make(bootstrap).invite.body).length
  const whole = Array.from({ length: INVITE_ADDRESSES_MAX }, () => address)
  const most = make(whole).invite.body.bootstrap
  t.true(most.length > 0 && most.length < whole.length)
  const last = 'b'.repeat(INVITE_BYTES_MAX - sizeOf(most) - 3)
  const full = make([...most, last])
  t.deepEqual(full.invite.body.bootstrap, [...most, last])
  t.true(sizeOf([...most, last]) > INVITE_BYTES_MAX - 3)
  t.deepEqual(readInvite(full.text, NOW), full.invite)
  const { text, invite } = make([...most, `${last}b`, 'short'])
  t.deepEqual(invite.body.bootstrap, most, 'what does not fit is left out, and what follows it')
  t.deepEqual(readInvite(text, NOW), invite)
  const longest = wire.inviteFormat.encode({ body: bytes(INVITE_BYTES_MAX), seed: key, signature })
  t.true(`${INVITE_PREFIX}${Buffer.from(longest).toString('base64url')}`.length <= INVITE_TEXT_MAX)
})

test('an invite for one peer has as many addresses as there is room for, and none at all is refused', (t) => {
  const credentials = mesh.admit(key, 'laptop')
  const make = (bootstrap: string[]) => {
    const made = { root: mesh.root, issuerSigner: mesh.authoritySigner, credentials, reach: 'lan' as const }
    return readPeerInvite(makePeerInvite({ ...made, bootstrap }).text)?.bootstrap
  }
  // Room for the other fields is counted generously: 64 bytes, and three with each address.
  let roomBytes = INVITE_BYTES_MAX - mesh.root.bytes.length - credentials.length - 64
  const full: string[] = []
  for (; roomBytes > 2 * ADDRESS_CHARACTERS_MAX; roomBytes -= address.length + 3) full.push(address)
  const left = roomBytes - 2 * 3
  full.push('b'.repeat(Math.floor(left / 2)), 'c'.repeat(Math.ceil(left / 2)))
  t.deepEqual(make(full), full)
  const fewer = full.slice(0, -1)
  t.deepEqual(make([...fewer, `${full.at(-1) ?? ''}c`]), fewer)
  t.throws(() => make([]), { code: 'invite-invalid' })
})

test('a text longer than any of its kind is refused before it is decoded', (t) => {
  for (const [read, prefix, max, code] of [
    [(text: string) => readInvite(text, NOW), INVITE_PREFIX, INVITE_TEXT_MAX, 'invite-malformed'],
    [readRequest, 'kith-root-request:', TEXT_MAX, 'ceremony-malformed'],
    [readResult, 'kith-root-signed:', TEXT_MAX, 'ceremony-malformed'],
  ] as const) {
    const text = prefix + 'A'.repeat(max - prefix.length)
    t.notRegex(t.throws(() => read(text), { code }).message, /too long/u)
    t.throws(() => read(`${text}A`), { code, message: /too long/u })
  }
  const largest = { ...mesh.root, bytes: bytes(ROOT_BYTES_MAX) }
  const retire = { act: 'retire' as const, key, name: label, from: time, reason }
  t.true(writeRequest(largest, retire).length <= TEXT_MAX)
})

test('an invite has so many uses, each of them good; one more use cannot be made', (t) => {
  const create = (uses: number) => {
    const made: InviteRecord = {
      inviteId: random.bytes(16),
      oneTimeKey: key,
      name: null,
      roles: [],
      tags: [],
      uses,
      expires: NOW + 1000,
    }
    const ledger = restoreLedger([], [])
    const [last] = step(ledger, { type: 'create', record: made }, NOW).slice(-1)
    const redeem = (n: number): string | undefined => {
      const joiner = new Uint8Array(32)
      new DataView(joiner.buffer).setUint32(0, n)
      const said = { joiner, name: `n${n}`, time: NOW, signedBy: () => true, nameTaken: () => false }
      const event = { type: 'redeem' as const, inviteId: made.inviteId, ...said, serial: id, nonce: id }
      const [effect] = step(ledger, event, NOW).slice(-1)
      return effect?.type === 'refuse' ? effect.code : effect?.type
    }
    return { created: last?.type === 'refuse' ? last.code : last?.type, redeem }
  }
  t.is(create(INVITE_USES_MAX + 1).created, 'invite-invalid')
  const { created, redeem } = create(INVITE_USES_MAX)
  t.is(created, 'created')
  const outcomes = new Set(Array.from({ length: INVITE_USES_MAX }, (_, n) => redeem(n)))
  t.deepEqual([...outcomes], ['admit'])
  t.is(redeem(INVITE_USES_MAX), 'invite-used-up')
})
