import { readFileSync } from 'node:fs'
import test from 'ava'
import * as fc from 'fast-check'
import { ed25519 } from '@noble/curves/ed25519.js'
import { equalBytes, fromHex, toHex } from '../../../protocols/common/bytes.ts'
import { ed25519Signer } from '../../../protocols/common/signing.ts'
import { NoiseError } from '../../../protocols/noise-ik/errors.ts'
import { identityKeyConverter, x25519SecretFromSeed } from '../../../protocols/noise-ik/identity-key.ts'
import { HandshakeState } from '../../../protocols/noise-ik/machine.ts'
import { IK } from '../../../protocols/noise-ik/pattern.ts'
import { AESGCM, CHACHAPOLY, SUITES, type CipherSuite } from '../../../protocols/noise-ik/suite.ts'

interface Vector {
  protocol_name: string
  init_prologue: string
  init_static: string
  init_ephemeral: string
  init_remote_static: string
  resp_prologue: string
  resp_static: string
  resp_ephemeral: string
  handshake_hash?: string
  messages: { payload: string; ciphertext: string }[]
}

function vectors(name: string): Vector[] {
  const url = new URL(`../../fixtures/noise/${name}.json`, import.meta.url)
  return (JSON.parse(readFileSync(url, 'utf8')) as { vectors: Vector[] }).vectors
}

function suiteOf(protocolName: string): CipherSuite {
  for (const suite of SUITES.values()) if (protocolName === `Noise_IK_${suite.noiseName}`) return suite
  throw new Error(protocolName)
}

function seal(suite: CipherSuite, key: Uint8Array, counter: number, plaintext: Uint8Array): Uint8Array {
  const out = new Uint8Array(plaintext.length + 16)
  suite.cipher(key).seal(counter, new Uint8Array(0), [plaintext], out, 0)
  return out
}

for (const source of ['cacophony', 'snow']) {
  for (const vector of vectors(source)) {
    test(`${source}: ${vector.protocol_name} gives the published bytes`, (t) => {
      const suite = suiteOf(vector.protocol_name)
      const initiator = new HandshakeState({
        suite,
        pattern: IK,
        initiator: true,
        prologue: fromHex(vector.init_prologue),
        s: suite.keyPair(fromHex(vector.init_static)),
        rs: fromHex(vector.init_remote_static),
        ephemeralSecret: () => fromHex(vector.init_ephemeral),
      })
      const responder = new HandshakeState({
        suite,
        pattern: IK,
        initiator: false,
        prologue: fromHex(vector.resp_prologue),
        s: suite.keyPair(fromHex(vector.resp_static)),
        ephemeralSecret: () => fromHex(vector.resp_ephemeral),
      })
      const [first, second, ...transport] = vector.messages
      if (first === undefined || second === undefined) throw new Error('vector without handshake')
      t.is(toHex(initiator.writeMessage(fromHex(first.payload))), first.ciphertext)
      t.is(toHex(responder.readMessage(fromHex(first.ciphertext))), first.payload)
      t.is(toHex(responder.writeMessage(fromHex(second.payload))), second.ciphertext)
      t.is(toHex(initiator.readMessage(fromHex(second.ciphertext))), second.payload)
      const a = initiator.finish()
      const b = responder.finish()
      t.deepEqual(a, b)
      if (vector.handshake_hash !== undefined) t.is(toHex(a.handshakeHash), vector.handshake_hash)
      t.true(transport.length > 0)
      for (const [i, message] of transport.entries()) {
        const key = i % 2 === 0 ? a.initiatorKey : a.responderKey
        const counter = Math.floor(i / 2)
        t.is(toHex(seal(suite, key, counter, fromHex(message.payload))), message.ciphertext)
        const [plain] = suite.cipher(key).open(counter, new Uint8Array(0), [fromHex(message.ciphertext)])
        t.is(toHex(plain ?? new Uint8Array(0)), message.payload)
      }
    })
  }
}

function pair(
  suite: CipherSuite,
  prologues: [Uint8Array, Uint8Array] = [new Uint8Array(3), new Uint8Array(3)],
) {
  const s = suite.keyPair(new Uint8Array(32).fill(7))
  const initiator = new HandshakeState({
    suite,
    pattern: IK,
    initiator: true,
    prologue: prologues[0],
    s: suite.keyPair(new Uint8Array(32).fill(9)),
    rs: s.publicKey,
    ephemeralSecret: () => new Uint8Array(32).fill(11),
  })
  const responder = new HandshakeState({
    suite,
    pattern: IK,
    initiator: false,
    prologue: prologues[1],
    s,
    ephemeralSecret: () => new Uint8Array(32).fill(13),
  })
  return { initiator, responder }
}

test('a prologue that differs in one bit makes message 1 undecryptable', (t) => {
  const { initiator, responder } = pair(AESGCM, [Uint8Array.of(1), Uint8Array.of(0)])
  const message = initiator.writeMessage(new Uint8Array(5))
  t.throws(() => responder.readMessage(message), { instanceOf: NoiseError, code: 'decrypt-failed' })
})

test('any changed, cut or arbitrary message 1 is refused with a Noise error', (t) => {
  const original = pair(CHACHAPOLY).initiator.writeMessage(new Uint8Array(40))
  fc.assert(
    fc.property(
      fc.nat(original.length - 1),
      fc.integer({ min: 1, max: 255 }),
      fc.nat(original.length - 1),
      (at, flip, cut) => {
        const changed = original.slice()
        changed[at] = (changed[at] ?? 0) ^ flip
        // X25519 ignores the top bit of a public key (RFC 7748 §5); the transcript hash does not.
        for (const bytes of [changed, original.subarray(0, cut)]) {
          t.throws(() => pair(CHACHAPOLY).responder.readMessage(bytes), { instanceOf: NoiseError })
        }
      },
    ),
    { numRuns: 150 },
  )
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 300 }), (bytes) => {
      t.throws(() => pair(AESGCM).responder.readMessage(bytes), { instanceOf: NoiseError })
    }),
    { numRuns: 100 },
  )
})

test('messages out of turn are a bug of ours, not a Noise error', (t) => {
  const { initiator, responder } = pair(AESGCM)
  t.throws(() => responder.writeMessage(new Uint8Array(0)), { message: /not ours/u })
  initiator.writeMessage(new Uint8Array(0))
  t.throws(() => initiator.finish(), { message: /not finished/u })
})

/** Every X25519 public key of small order (RFC 7748 §6.1; the list of the curve25519 contributory-behaviour page). */
const LOW_ORDER = [
  '0000000000000000000000000000000000000000000000000000000000000000',
  '0100000000000000000000000000000000000000000000000000000000000000',
  'e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800',
  '5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157',
  'ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f',
  'edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f',
  'eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f',
]

for (const hex of LOW_ORDER) {
  test(`the low-order X25519 key ${hex.slice(0, 8)}… is refused as an ephemeral key`, (t) => {
    const { responder } = pair(AESGCM)
    const message = new Uint8Array(200)
    message.set(fromHex(hex))
    t.throws(() => responder.readMessage(message), { instanceOf: NoiseError, code: 'low-order-key' })
  })
}

test('the converted identity key pair agrees with the one of the seed', (t) => {
  const seed = new Uint8Array(32).fill(3)
  const signer = ed25519Signer(seed)
  const convert = identityKeyConverter()
  t.deepEqual(
    Uint8Array.from(convert(signer.publicKey)),
    Uint8Array.from(AESGCM.keyPair(x25519SecretFromSeed(seed)).publicKey),
  )
})

test('a key and its negation share one X25519 key, which is why the Ed25519 key is bound separately', (t) => {
  const key = ed25519Signer(new Uint8Array(32).fill(3)).publicKey
  const alias = key.slice()
  alias[31] = (alias[31] ?? 0) ^ 0x80
  const convert = identityKeyConverter()
  t.true(equalBytes(convert(key), convert(alias)))
  t.false(equalBytes(key, alias))
})

test('identity keys of small order, with torsion, off the curve or of a wrong length are refused', (t) => {
  const convert = identityKeyConverter()
  const torsion = ed25519.Point.fromHex('26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05')
  const mixed = ed25519.Point.BASE.add(torsion).toBytes()
  const bad = [
    new Uint8Array(32),
    Uint8Array.of(1, ...new Uint8Array(31)),
    torsion.toBytes(),
    mixed,
    new Uint8Array(32).fill(0xff),
    Uint8Array.of(2, ...new Uint8Array(31)),
    new Uint8Array(31),
  ]
  for (const key of bad)
    t.throws(() => convert(key), { instanceOf: NoiseError, code: 'identity-key-invalid' }, toHex(key))
})

test('the memory of converted keys stays bounded and answers the same after an eviction', (t) => {
  const convert = identityKeyConverter(2)
  const keys = [1, 2, 3].map((n) => ed25519Signer(new Uint8Array(32).fill(n)).publicKey)
  const first = keys.map((key) => toHex(convert(key)))
  t.deepEqual(
    keys.map((key) => toHex(convert(key))),
    first,
  )
})

for (const suite of SUITES.values()) {
  test(`${suite.name}: what was sealed in parts opens in any other parts`, (t) => {
    const cipher = suite.cipher(new Uint8Array(32).fill(5))
    const sizes = fc.array(fc.integer({ min: 0, max: 6000 }), { maxLength: 6 })
    fc.assert(
      fc.property(sizes, fc.nat(20_000), fc.nat(2 ** 40), (lengths, cut, counter) => {
        const parts = lengths.map((length, i) => new Uint8Array(length).fill(i + 1))
        const total = lengths.reduce((a, b) => a + b, 0)
        const out = new Uint8Array(total + 16)
        cipher.seal(counter, Uint8Array.of(1), parts, out, 0)
        const at = Math.min(cut, out.length)
        const plain = cipher.open(counter, Uint8Array.of(1), [out.subarray(0, at), out.subarray(at)])
        t.is(Buffer.compare(Buffer.concat(plain), Buffer.concat(parts)), 0)
      }),
      { numRuns: 60 },
    )
    t.throws(() => cipher.open(0, new Uint8Array(0), [new Uint8Array(15)]), { code: 'message-length' })
  })
}
