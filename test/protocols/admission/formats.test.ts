import test from 'ava'
import fc from 'fast-check'
import { fromHex, toHex } from '../../../protocols/common/bytes.ts'
import { FrameReader, lengthPrefixed } from '../../../protocols/common/length-prefix.ts'
import { MalformedError } from '../../../protocols/common/errors.ts'
import { SIGNING_CONTEXTS } from '../../../protocols/common/signing.ts'
import { AES_128_GCM, hpkeOpen, hpkeSeal, x25519PublicKey } from '../../../protocols/admission/hpke.ts'
import * as wire from '../../../protocols/admission/wire.ts'
import { bytesOf, count, golden, label, obeys, setOf, tag } from './format-laws.ts'

const hex = golden('admission')
const memberRoles = setOf(fc.constantFrom(...wire.memberRoleSchema.options), 5)
const authorityRoles = setOf(fc.constantFrom(...wire.authorityRoleSchema.options), 5)
const tags = setOf(tag, 6)
const one = fc.constant(1 as const)
const key = bytesOf(32)
const address = fc.constantFrom('/ip4/192.0.2.1/tcp/4701', '/dns4/a.example/tcp/1/p2p/x')
const uses = fc.integer({ min: 1, max: 1000 })

const root = fc.record({
  name: label,
  rootKey: key,
  x509Root: fc.uint8Array({ maxLength: 400 }),
  createdAt: count,
})

test('the root document keeps its bytes', (t) => {
  const values = root.map(({ name, rootKey, x509Root, createdAt }) => ({
    version: 1 as const,
    name,
    domain: `${name}.internal`,
    rootKeys: [rootKey],
    x509Root,
    createdAt,
  }))
  obeys(t, wire.rootFormat, values, hex['root'])
})

test('both certificates and credentials keep their bytes', (t) => {
  const times = { notBefore: count, notAfter: count, issuer: key }
  const authority = fc.record({
    version: one,
    serial: bytesOf(16),
    subject: key,
    roles: authorityRoles,
    ...times,
    x509Intermediate: fc.option(fc.uint8Array({ maxLength: 300 })),
  })
  obeys(t, wire.authorityBodyFormat, authority, hex['authorityBody'])
  const member = fc.record({
    version: one,
    serial: bytesOf(16),
    subject: key,
    name: label,
    roles: memberRoles,
    tags,
    nonce: bytesOf(16),
    ...times,
  })
  obeys(t, wire.memberBodyFormat, member, hex['memberBody'])
  const signed = fc.record({ body: fc.uint8Array({ maxLength: 200 }), signature: bytesOf(64) })
  obeys(t, wire.authorityFormat, signed, hex['authority'])
  obeys(t, wire.memberFormat, signed, hex['member'])
  const blob = fc.uint8Array({ maxLength: 200 })
  obeys(t, wire.credentialsFormat, fc.record({ member: blob, authority: blob }), hex['credentials'])
})

test('the invite keeps its bytes', (t) => {
  const body = fc.record({
    version: one,
    meshId: key,
    meshName: label,
    issuer: key,
    inviteId: bytesOf(16),
    oneTimeKey: key,
    bootstrap: fc.array(address, { maxLength: 8 }),
    reach: fc.constantFrom('internet' as const, 'lan' as const, 'unknown' as const),
    name: fc.option(label),
    roles: memberRoles,
    tags,
    uses,
    expires: count,
  })
  obeys(t, wire.inviteBodyFormat, body, hex['inviteBody'])
  obeys(
    t,
    wire.inviteFormat,
    fc.record({ body: fc.uint8Array({ maxLength: 300 }), seed: key, signature: bytesOf(64) }),
    hex['invite'],
  )
  obeys(
    t,
    wire.inviteRecordFormat,
    fc.record({
      inviteId: bytesOf(16),
      oneTimeKey: key,
      name: fc.option(label),
      roles: memberRoles,
      tags,
      uses,
      expires: count,
    }),
    hex['inviteRecord'],
  )
  obeys(
    t,
    wire.redemptionFormat,
    fc.record({
      inviteId: bytesOf(16),
      joiner: key,
      name: label,
      serial: bytesOf(16),
      nonce: bytesOf(16),
      issuedAt: count,
    }),
    hex['redemption'],
  )
})

test('join request, answer and reply keep their bytes', (t) => {
  const blob = fc.uint8Array({ maxLength: 200 })
  obeys(
    t,
    wire.joinBodyFormat,
    fc.record({
      version: one,
      issuer: key,
      inviteId: bytesOf(16),
      joiner: key,
      replyKey: key,
      name: label,
      time: count,
    }),
    hex['joinBody'],
  )
  obeys(
    t,
    wire.joinRequestFormat,
    fc.record({ body: blob, inviteSignature: bytesOf(64), joinerSignature: bytesOf(64) }),
    hex['joinRequest'],
  )
  const common = { version: one, requestHash: key, issuerTime: count }
  const answers = fc.oneof(
    fc.record({
      outcome: fc.constant('accepted' as const),
      ...common,
      root: blob,
      credentials: blob,
      bootstrap: fc.array(address, { maxLength: 8 }),
    }),
    fc.record({
      outcome: fc.constant('refused' as const),
      ...common,
      code: tag,
      text: fc.string({ maxLength: 40 }),
    }),
  )
  obeys(t, wire.joinAnswerFormat, answers, hex['joinAnswer'])
  obeys(t, wire.signedAnswerFormat, fc.record({ body: blob, signature: bytesOf(64) }), hex['signedAnswer'])
  const replies = fc.oneof(
    fc.record({ kind: fc.constant('sealed' as const), encapsulated: key, ciphertext: blob }),
    fc.record({ kind: fc.constant('door' as const), code: tag, text: fc.string({ maxLength: 40 }) }),
  )
  obeys(t, wire.joinReplyFormat, replies, hex['joinReply'])
})

test('signing contexts are prefix-free, so no signature can be read for another purpose', (t) => {
  const contexts = Object.values(SIGNING_CONTEXTS)
  for (const a of contexts) for (const b of contexts) if (a !== b) t.false(a.startsWith(b), `${a} ${b}`)
  t.is(new Set(contexts).size, contexts.length)
})

// RFC 9180 appendix A.1.1 (DHKEM(X25519, HKDF-SHA256), HKDF-SHA256, AES-128-GCM, base mode), encryption of sequence 0.
const VECTOR = {
  info: fromHex('4f6465206f6e2061204772656369616e2055726e'),
  ephemeral: fromHex('52c4a758a802cd8b936eceea314432798d5baf2d7e9235dc084ab1b9cfa2f736'),
  recipient: fromHex('3948cfe0ad1ddb695d780e59077195da6c56506b027329794ab02bca80815c4d'),
  privateKey: fromHex('4612c550263fc8ad58375df3f557aac531d26850903e55a9f23f21d8534e8ac8'),
  aad: fromHex('436f756e742d30'),
  plaintext: fromHex('4265617574792069732074727574682c20747275746820626561757479'),
  encapsulated: '37fda3567bdbd628e88668c3c8d7e97d1d1253b6d4ea6d44c150f741f1bf4431',
  ciphertext: 'f938558b5d72f1a23810b4be2ab4f84331acc02fc97babc53a52ae8218a355a96d8770ac83d07bea87e13c512a',
}

test('HPKE gives the published bytes of RFC 9180 A.1', (t) => {
  const { info, ephemeral, recipient, privateKey, aad, plaintext } = VECTOR
  const sealed = hpkeSeal({ recipient, ephemeral, info, aad, plaintext, aead: AES_128_GCM })
  t.is(toHex(sealed.encapsulated), VECTOR.encapsulated)
  t.is(toHex(sealed.ciphertext), VECTOR.ciphertext)
  t.deepEqual(hpkeOpen({ privateKey, info, aad, ...sealed, aead: AES_128_GCM }), plaintext)
})

test('HPKE opens only what was sealed to the key, the info and the request, unaltered', (t) => {
  const { info, privateKey, aad, plaintext } = VECTOR
  const sealed = hpkeSeal({
    recipient: x25519PublicKey(privateKey),
    ephemeral: VECTOR.ephemeral,
    info,
    aad,
    plaintext,
  })
  const open = (change: Partial<Parameters<typeof hpkeOpen>[0]>) =>
    hpkeOpen({ privateKey, info, aad, ...sealed, ...change })
  t.deepEqual(open({}), plaintext)
  for (let i = 0; i < sealed.ciphertext.length; i++) {
    const ciphertext = sealed.ciphertext.slice()
    ciphertext[i] = (ciphertext[i] as number) ^ 1
    t.throws(() => open({ ciphertext }), { instanceOf: MalformedError })
  }
  t.throws(() => open({ info: aad }), { instanceOf: MalformedError })
  t.throws(() => open({ aad: info }), { instanceOf: MalformedError })
  t.throws(() => open({ privateKey: VECTOR.ephemeral }), { instanceOf: MalformedError })
  t.throws(
    () => open({ encapsulated: new Uint8Array(32) }),
    { instanceOf: MalformedError },
    'low-order point, RFC 9180 §7.1.4',
  )
})

test('length-prefixed frames survive any cutting of the stream', (t) => {
  const frames = fc.array(fc.uint8Array({ maxLength: 300 }), { maxLength: 8 })
  fc.assert(
    fc.property(frames, fc.integer({ min: 1, max: 50 }), (sent, chunk) => {
      const stream = Buffer.concat(sent.map(lengthPrefixed))
      const reader = new FrameReader(300)
      const received: Uint8Array[] = []
      for (let i = 0; i < stream.length; i += chunk)
        received.push(...reader.push(Uint8Array.from(stream.subarray(i, i + chunk))))
      t.deepEqual(received, sent)
      t.is(reader.pendingBytes, 0)
    }),
  )
  t.throws(() => new FrameReader(300).push(lengthPrefixed(new Uint8Array(301))), {
    instanceOf: MalformedError,
  })
  t.throws(
    () => new FrameReader(300).push(Uint8Array.of(0x81, 0)),
    { instanceOf: MalformedError },
    'longer form of 1',
  )
  t.throws(() => new FrameReader(300).push(Uint8Array.of(255, 255, 255, 255, 1)), {
    instanceOf: MalformedError,
  })
})
