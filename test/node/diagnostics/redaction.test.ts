import test from 'ava'
import fc from 'fast-check'
import { BlobRedaction } from '../../../node/diagnostics/blob-redaction.ts'
import { Pseudonyms } from '../../../node/diagnostics/pseudonyms.ts'
import { TextRedaction } from '../../../node/diagnostics/text-redaction.ts'
import { createRevocation } from '../../../protocols/admission/revocation.ts'
import { issueMember } from '../../../protocols/admission/certificates.ts'
import { credentialsFormat, labelSchema, memberFormat, tagSchema } from '../../../protocols/admission/wire.ts'
import { toHex, utf8 } from '../../../protocols/common/bytes.ts'
import { MalformedError } from '../../../protocols/common/errors.ts'
import { ed25519Signer, sha256 } from '../../../protocols/common/signing.ts'
import { signLeave, signRegistration, verifyEntry } from '../../../protocols/registry/entry.ts'
import type { MemberEntry } from '../../../protocols/registry/wire.ts'
import {
  frameFormat,
  KIND,
  noRecords,
  packRecords,
  unpackRecords,
} from '../../../protocols/membership/wire.ts'
import { seededRandom, testMesh } from '../../protocols/membership/world.ts'

const NOW = 1_800_000_000_000
const SALT = sha256(Uint8Array.of(3))
const mesh = testMesh('redaction', NOW)
const random = seededRandom('redaction test')
const laptop = ed25519Signer(random.bytes(32))
const names = (): Pseudonyms => new Pseudonyms(SALT)
const redaction = (): BlobRedaction => new BlobRedaction(names(), mesh.root.meshId)
const latin1 = (bytes: Uint8Array): string => Buffer.from(bytes).toString('latin1')

const credentials = issueMember({
  meshId: mesh.root.meshId,
  authoritySigner: mesh.authoritySigner,
  authorityCertificate: mesh.authority,
  subject: laptop.publicKey,
  name: 'zebra-laptop',
  roles: ['relay'],
  tags: ['zebra-tag', 'a'],
  serial: random.bytes(16),
  nonce: random.bytes(16),
  now: NOW,
})
const statement = signRegistration(
  {
    key: laptop.publicKey,
    incarnation: NOW,
    seq: 3,
    issuedAt: NOW,
    leaseSeconds: 60,
    addresses: ['/ip4/192.0.2.77/tcp/4701', '/dns4/zebra.example/tcp/1'],
    relays: [],
    services: [
      {
        name: 'zebra-wiki',
        proto: 'http',
        port: 80,
        tags: ['zebra-tag'],
        crossSite: false,
        healthy: true,
        allow: ['members', 'peer:zebra-laptop', 'tag:zebra-tag'],
        publishedAt: NOW,
      },
    ],
    bootNonce: random.bytes(8),
  },
  mesh.root.meshId,
  laptop,
)
const entry: MemberEntry = { kind: 'registration', statement, credentials }
const leave = signLeave(
  { key: laptop.publicKey, incarnation: NOW, seq: 4, issuedAt: NOW },
  mesh.root.meshId,
  laptop,
)
const revocation = createRevocation({
  meshId: mesh.root.meshId,
  signer: mesh.authoritySigner,
  authorityCertificate: mesh.authority,
  key: laptop.publicKey,
  serial: null,
  reason: 'zebra was stolen at 192.0.2.77 €',
  now: NOW,
})

test('a pseudonym is as long as its name, a label where the name is one, and the same for the same', (t) => {
  const label = fc.stringMatching(/^[a-z0-9][a-z0-9-]{0,40}[a-z0-9]$|^[a-z0-9]$/)
  fc.assert(
    fc.property(fc.uniqueArray(label, { maxLength: 40 }), (labels) => {
      const other = names()
      const words = labels.map((each) => other.word(each))
      for (const [i, word] of words.entries()) {
        if (word.length !== labels[i]?.length || !labelSchema.safeParse(word).success) return false
        if (word.length <= 31 && !tagSchema.safeParse(word).success) return false
        if (other.word(labels[i] ?? '') !== word) return false
      }
      return new Set(words).size === labels.length
    }),
  )
  fc.assert(
    fc.property(fc.string({ unit: 'binary' }), (text) => {
      const word = names().word(text)
      return utf8(word).length === utf8(text).length && Array.from(word).length === Array.from(text).length
    }),
  )
  t.is(names().word('€uro'), '000€')
})

test('an address keeps protocols, ports and peer ids', (t) => {
  const id = '12D3KooWQKWFEBAa7WxF1Y8nPVquKMVFvKCnpt2UDCqUoBvy8v7L'
  const cases: [string, RegExp][] = [
    ['/ip4/10.0.0.12/tcp/4701', /^\/ip4\/n0{7}0\/tcp\/4701$/],
    ['/ip6/fe80::1/udp/9/quic-v1', /^\/ip6\/n0{6}\/udp\/9\/quic-v1$/],
    [`/dns4/my.host/tcp/1/p2p/${id}/p2p-circuit`, new RegExp(`^/dns4/n0{6}/tcp/1/p2p/${id}/p2p-circuit$`)],
    ['/unix/home/me', /^\/n000\/n001\/00$/],
  ]
  for (const [address, expected] of cases) {
    const told = names().address(address)
    t.regex(told, expected)
    t.is(told.length, address.length)
  }
})

test('what was signed is rewritten to the same length, decodes as before, and its digest leads to the original', (t) => {
  const other = redaction()
  const rewritten = other.entry(entry)
  for (const part of ['statement', 'credentials'] as const) {
    t.is(rewritten[part].length, entry[part].length)
    t.notRegex(latin1(rewritten[part]), /zebra|192\.0/)
    t.is(other.hashes.get(toHex(sha256(rewritten[part]))), toHex(sha256(entry[part])))
    t.deepEqual(other.entry(entry)[part], rewritten[part])
  }
  const checked = verifyEntry({
    root: mesh.root,
    entry: rewritten,
    now: NOW,
    authorityReachable: true,
    verify: () => true,
  })
  if (!checked.ok) return t.fail(checked.text)
  const { statement: told, member } = checked.verified
  t.is(member.tags.length, 2)
  t.deepEqual([...member.tags], [...member.tags].sort())
  if (told.kind !== 'registration') return t.fail()
  t.is(told.seq, 3)
  const [service] = told.services
  t.deepEqual(service?.allow, ['members', `peer:${member.name}`, `tag:${service?.tags[0]}`])
  t.true(member.tags.includes(service?.tags[0] as string))
  // A guess at the name could be tried on signatures that stand.
  t.false(verifyEntry({ root: mesh.root, entry: rewritten, now: NOW, authorityReachable: true }).ok)
  t.is(latin1(rewritten.statement).includes(latin1(statement.slice(-64))), false)
  const { member: original } = credentialsFormat.decode(credentials)
  t.is(latin1(rewritten.credentials).includes(latin1(original.slice(-64))), false)
})

test('where two tags of a member would share a pseudonym its certificate becomes one that does not decode', (t) => {
  const crowded = names()
  const other = new BlobRedaction(crowded, mesh.root.meshId)
  // All words of two letters: from here on they come round.
  const many = issueMember({
    meshId: mesh.root.meshId,
    authoritySigner: mesh.authoritySigner,
    authorityCertificate: mesh.authority,
    subject: laptop.publicKey,
    name: 'crowd',
    roles: [],
    tags: ['aa', 'bb'],
    serial: random.bytes(16),
    nonce: random.bytes(16),
    now: NOW,
  })
  crowded.word('aa')
  for (let i = 1; i < 36 ** 2; i++)
    crowded.word(`${String.fromCharCode(33 + (i % 94))}${String.fromCharCode(33 + Math.floor(i / 94))}`)
  t.is(crowded.word('bb'), crowded.word('aa'))
  const rewritten = other.credentials(many)
  t.is(rewritten.length, many.length)
  t.throws(() => memberFormat.decode(credentialsFormat.decode(rewritten).member), {
    instanceOf: MalformedError,
  })
})

test('revocations and farewells are rewritten as well', (t) => {
  const other = redaction()
  const rewritten = other.revocation(revocation)
  t.is(rewritten.length, revocation.length)
  t.notRegex(latin1(rewritten), /zebra|192/)
  t.is(other.hashes.get(toHex(sha256(rewritten))), toHex(sha256(revocation)))
  t.is(other.statement('leave', leave).length, leave.length)
  t.notDeepEqual(other.statement('leave', leave), leave)
})

test('what a node signs itself is found again in what it sends', (t) => {
  const other = redaction()
  const asked: { message: Uint8Array; signature: Uint8Array }[] = []
  const listening = {
    publicKey: laptop.publicKey,
    sign(text: Uint8Array) {
      const signature = laptop.sign(text)
      asked.push({ message: text, signature })
      return signature
    },
  }
  const bytes = signLeave(
    { key: laptop.publicKey, incarnation: 1, seq: 1, issuedAt: NOW },
    mesh.root.meshId,
    listening,
  )
  const [first] = asked
  const told = other.signed(first?.message as Uint8Array, first?.signature as Uint8Array)
  t.true(latin1(other.statement('leave', bytes)).endsWith(latin1(told.signature)))
  const heal = { message: utf8('kith/heal/1\0'), signature: new Uint8Array(64) }
  t.deepEqual(other.signed(heal.message, heal.signature), heal)
})

const carried = [
  { ...entry, down: false },
  { kind: 'leave' as const, statement: leave, credentials: null, down: true },
]
const [records = noRecords()] = packRecords(carried, [], { revocations: [revocation] })
const frame = frameFormat.encode({ kind: KIND.records, ...records })

test('a frame is rewritten to the same length; one without records stays as it is', (t) => {
  const other = redaction()
  const rewritten = other.frame(frame)
  t.is(rewritten.length, frame.length)
  t.notRegex(latin1(rewritten), /zebra|192/)
  const decoded = frameFormat.decode(rewritten)
  if (decoded.kind !== KIND.records) return t.fail()
  const [first] = unpackRecords(decoded)
  t.deepEqual(first?.statement, other.statement('registration', statement))
  t.deepEqual(first?.credentials, other.credentials(credentials))
  const probe = frameFormat.encode({ kind: KIND.probe, n: 1, digest: new Uint8Array(8), held: 1 })
  t.is(other.frame(probe), probe)
})

test('whatever a peer sends, its frame keeps its length, and decodes as far as before', (t) => {
  const outcome = (bytes: Uint8Array): string => {
    try {
      return `kind ${frameFormat.decode(bytes).kind}`
    } catch (error) {
      if (error instanceof MalformedError) return 'malformed'
      throw error
    }
  }
  const isAlike = (bytes: Uint8Array): boolean => {
    const rewritten = redaction().frame(bytes)
    return rewritten.length === bytes.length && outcome(rewritten) === outcome(bytes)
  }
  fc.assert(fc.property(fc.uint8Array({ maxLength: 300 }), isAlike))
  fc.assert(
    fc.property(fc.nat(frame.length - 1), fc.integer({ min: 1, max: 255 }), (at, flip) => {
      const bytes = Uint8Array.from(frame)
      bytes[at] = (bytes[at] as number) ^ flip
      return isAlike(bytes)
    }),
    { numRuns: 300 },
  )
  t.pass()
})

test('texts lose names, addresses, paths, links and keys, and keep what our own words are', (t) => {
  const other = names()
  for (const name of ['zebra', 'home', 'phone']) other.word(name)
  const texts = new TextRedaction(other)
  const id = '12D3KooWQKWFEBAa7WxF1Y8nPVquKMVFvKCnpt2UDCqUoBvy8v7L'
  const kept = [
    'nothing for 2500 ms',
    `entry of ${id}: a newer one ended`,
    'the certificate expired 3 h ago [certificate-expired]',
    'connect ECONNREFUSED',
  ]
  for (const text of kept) t.is(texts.text(text), text)
  const lost: [string, string][] = [
    ['zebra', 'zebra is no authority any more'],
    ['Zebra', 'member "Zebra" left'],
    ['giraffe', 'the name giraffe is taken'],
    ['192.0.2.7', 'dial 192.0.2.7:4701 failed'],
    ['2001:db8::7', 'dial [2001:db8::7]:4701 failed'],
    ['fe80::1', 'fe80::1%eth0'],
    ['192.0.2.9', '/ip4/192.0.2.9/tcp/4701/p2p/' + id],
    ['wiki', 'wiki.home.internal does not answer'],
    ['otto', 'cannot read /home/otto/secret plans/x.toml'],
    ['otto', 'cannot read C:\\Users\\otto\\x'],
    ['otto', 'otto@example.org'],
    ['dGVzd', 'token dGVzdGRhdGF0ZXN0ZGF0YXRlc3RkYXRhdGVzdGRhdGF0ZXN0'],
    ['9f86d0', '9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08'],
    ['AAECA', 'kith://join/AAECAwQ'],
    ['secretlabel', 'http://secretlabel.localhost:4780/#token'],
    ['größe', 'node größe left'],
  ]
  for (const [secret, text] of lost) t.false(texts.text(text).includes(secret), texts.text(text))
  t.true(texts.text('/ip4/192.0.2.9/tcp/4701/p2p/' + id).endsWith(`/tcp/4701/p2p/${id}`))
  t.deepEqual(texts.fields({ node: 'giraffe', port: 4701, ok: true }), {
    node: other.word('giraffe'),
    port: 4701,
    ok: true,
  })
  for (const code of ['certificate-expired', 'redial-refused', 'accused']) t.is(texts.code(code), code)
  t.not(texts.code('giraffe'), 'giraffe')
  t.is(
    texts.withoutSecrets('zebra at 192.0.2.7 said kith://join/AAEC in /home/otto/x'),
    'zebra at 192.0.2.7 said link in path',
  )
})

test('no word of a random text outside our vocabulary survives', (t) => {
  const texts = new TextRedaction(names())
  const word = fc.stringMatching(/^[a-z]{4,9}[0-9]{2}x$/)
  fc.assert(
    fc.property(
      fc.array(fc.oneof(word, fc.constantFrom('failed', '12', '/', ':', '"')), { maxLength: 12 }),
      (parts) => {
        const told = texts.text(parts.join(' '))
        return parts.every((part) => !part.endsWith('x') || !told.split(/\W+/).includes(part))
      },
    ),
  )
  t.pass()
})
