import test from 'ava'
import * as fc from 'fast-check'
import { ed25519 } from '@noble/curves/ed25519.js'
import { equalBytes, fromHex, toHex } from '../../../protocols/common/bytes.ts'
import { ed25519Signer } from '../../../protocols/common/signing.ts'
import { NoiseError } from '../../../protocols/noise-ik/errors.ts'
import { identityKeyConverter, x25519SecretFromSeed } from '../../../protocols/noise-ik/identity-key.ts'
import { MLKEM768, mlKem768KeyPair, type Kem } from '../../../protocols/noise-ik/kem.ts'
import {
  CONVERTED_KEYS_MAX,
  KEM_CIPHERTEXT_BYTES,
  KEM_PUBLIC_KEY_BYTES,
} from '../../../protocols/noise-ik/limits.ts'
import { HandshakeState, protocolName } from '../../../protocols/noise-ik/machine.ts'
import { IK, IKhfs, KKpsk0, KKpsk0hfs, type HandshakePattern } from '../../../protocols/noise-ik/pattern.ts'
import { AESGCM, CHACHAPOLY, SUITES, type CipherSuite } from '../../../protocols/noise-ik/suite.ts'
import { wipe } from '../../../protocols/noise-ik/wipe.ts'
import { decodeHandshake, openAead } from '../rotation/independent-decoder.ts'
import { parseName, readVectors, replay } from './vectors.ts'

function seal(suite: CipherSuite, key: Uint8Array, counter: number, plaintext: Uint8Array): Uint8Array {
  const out = new Uint8Array(plaintext.length + 16)
  suite.cipher(key).seal(counter, new Uint8Array(0), [plaintext], out, 0)
  return out
}

for (const source of ['cacophony', 'snow', 'kith-hfs']) {
  for (const vector of readVectors(source)) {
    test(`${source}: ${vector.protocol_name} gives the published bytes`, (t) => {
      const { suite } = parseName(vector.protocol_name)
      const { initiator, responder } = replay(vector)
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
      if (vector.rotation_root !== undefined) t.is(toHex(a.root), vector.rotation_root)
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

for (const vector of readVectors('kith-hfs')) {
  test(`an independent decoder agrees about ${vector.protocol_name}`, (t) => {
    const bytes = (text: string | undefined): Buffer => Buffer.from(text ?? '', 'hex')
    const [first, second, ...transport] = vector.messages
    const decoded = decodeHandshake({
      protocolName: vector.protocol_name,
      prologue: bytes(vector.init_prologue),
      psk: bytes(vector.init_psks?.[0]),
      initiatorStatic: bytes(vector.init_static),
      initiatorEphemeral: bytes(vector.init_ephemeral),
      kemSeed: bytes(vector.kem_seed),
      responderStaticPublic: bytes(vector.init_remote_static),
      messages: [bytes(first?.ciphertext), bytes(second?.ciphertext)],
    })
    t.deepEqual(decoded.payloads.map(toHex), [first?.payload, second?.payload])
    t.deepEqual([decoded.handshakeHash, decoded.root].map(toHex), [
      vector.handshake_hash,
      vector.rotation_root,
    ])
    const cipher = vector.protocol_name.split('_')[3] ?? ''
    for (const [i, { payload, ciphertext }] of transport.entries()) {
      const key = i % 2 === 0 ? decoded.initiatorKey : decoded.responderKey
      const opened = openAead(cipher, key, Math.floor(i / 2), Buffer.alloc(0), bytes(ciphertext))
      t.is(toHex(opened), payload)
    }
  })
}

test('protocol names follow the framework and its HFS extension', (t) => {
  t.is(protocolName(IK, AESGCM), 'Noise_IK_25519_AESGCM_SHA256')
  t.is(protocolName(IKhfs, CHACHAPOLY), 'Noise_IKhfs_25519+MLKEM768_ChaChaPoly_SHA256')
  t.is(protocolName(KKpsk0, AESGCM), 'Noise_KKpsk0_25519_AESGCM_SHA256')
  t.is(protocolName(KKpsk0hfs, AESGCM), 'Noise_KKhfs+psk0_25519+MLKEM768_AESGCM_SHA256')
})

function pair(
  suite: CipherSuite,
  prologues: [Uint8Array, Uint8Array] = [new Uint8Array(3), new Uint8Array(3)],
  pattern: HandshakePattern = IK,
  kem: Kem = MLKEM768,
) {
  const s = suite.keyPair(new Uint8Array(32).fill(7))
  const other = suite.keyPair(new Uint8Array(32).fill(9))
  const shared = { suite, pattern, kem, psk: new Uint8Array(32).fill(3) }
  const initiator = new HandshakeState({
    ...shared,
    initiator: true,
    prologue: prologues[0],
    s: other,
    rs: s.publicKey,
    ephemeralSecret: () => new Uint8Array(32).fill(11),
  })
  const responder = new HandshakeState({
    ...shared,
    initiator: false,
    prologue: prologues[1],
    s,
    ...(pattern.initiatorPreMessage === undefined ? {} : { rs: other.publicKey }),
    ephemeralSecret: () => new Uint8Array(32).fill(13),
  })
  return { initiator, responder }
}

test('a prologue that differs in one bit makes message 1 undecryptable', (t) => {
  const { initiator, responder } = pair(AESGCM, [Uint8Array.of(1), Uint8Array.of(0)])
  const message = initiator.writeMessage(new Uint8Array(5))
  t.throws(() => responder.readMessage(message), { instanceOf: NoiseError, code: 'decrypt-failed' })
})

for (const pattern of [IK, IKhfs, KKpsk0hfs]) {
  test(`${pattern.name}: any changed, cut or arbitrary message is refused with a Noise error`, (t) => {
    const refuse = (read: (bytes: Uint8Array) => void, original: Uint8Array, runs: number): void => {
      const at = fc.nat(original.length - 1)
      fc.assert(
        fc.property(at, fc.integer({ min: 1, max: 255 }), at, (at, flip, cut) => {
          const changed = original.slice()
          changed[at] = (changed[at] ?? 0) ^ flip
          // X25519 ignores the top bit of a public key (RFC 7748 §5); the transcript hash does not.
          for (const bytes of [changed, original.subarray(0, cut)])
            t.throws(() => read(bytes), { instanceOf: NoiseError })
        }),
        { numRuns: runs },
      )
      fc.assert(
        fc.property(fc.uint8Array({ maxLength: original.length + 50 }), (bytes) => {
          t.throws(() => read(bytes), { instanceOf: NoiseError })
        }),
        { numRuns: runs },
      )
    }
    const fresh = () => pair(CHACHAPOLY, undefined, pattern)
    const first = fresh().initiator.writeMessage(new Uint8Array(40))
    refuse((bytes) => fresh().responder.readMessage(bytes), first, 100)
    // A fresh initiator has another KEM key, so even the right answer would not fit: the same one is asked again and again.
    const kem = { ...MLKEM768, generate: () => mlKem768KeyPair(new Uint8Array(64).fill(5)) }
    const asked = () => {
      const both = pair(CHACHAPOLY, undefined, pattern, kem)
      both.responder.readMessage(both.initiator.writeMessage(new Uint8Array(40)))
      return both
    }
    const second = asked().responder.writeMessage(new Uint8Array(9))
    t.is(asked().initiator.readMessage(second).length, 9)
    refuse((bytes) => asked().initiator.readMessage(bytes), second, 60)
  })
}

test('an ML-KEM key or ciphertext that does not fit has its own code', (t) => {
  const { publicKey, secret } = MLKEM768.generate()
  t.is(publicKey.length, KEM_PUBLIC_KEY_BYTES)
  for (const bad of [
    publicKey.subarray(1),
    new Uint8Array(KEM_PUBLIC_KEY_BYTES).fill(0xff),
    new Uint8Array(0),
  ])
    t.throws(() => MLKEM768.importKey(bad), { instanceOf: NoiseError, code: 'kem-key-invalid' })
  const { ciphertext, sharedSecret } = MLKEM768.encapsulate(MLKEM768.importKey(publicKey))
  t.is(ciphertext.length, KEM_CIPHERTEXT_BYTES)
  t.deepEqual(MLKEM768.decapsulate(secret, ciphertext), sharedSecret)
  for (const bad of [ciphertext.subarray(1), new Uint8Array(0)])
    t.throws(() => MLKEM768.decapsulate(secret, bad), {
      instanceOf: NoiseError,
      code: 'kem-ciphertext-invalid',
    })
})

test('an ML-KEM key that fails the modulus check is refused inside message 1, under a tag that fits', (t) => {
  const broken: Kem = {
    ...MLKEM768,
    generate: () => ({ ...MLKEM768.generate(), publicKey: new Uint8Array(KEM_PUBLIC_KEY_BYTES).fill(0xff) }),
  }
  const { initiator, responder } = pair(AESGCM, undefined, IKhfs, broken)
  const message = initiator.writeMessage(new Uint8Array(0))
  t.throws(() => responder.readMessage(message), { instanceOf: NoiseError, code: 'kem-key-invalid' })
})

test('each secret alone decides the keys: DH, KEM and pre-shared key', (t) => {
  const run = (kem: Kem, psk: number, ephemeral: number): string => {
    const s = AESGCM.keyPair(new Uint8Array(32).fill(7))
    const other = AESGCM.keyPair(new Uint8Array(32).fill(9))
    const shared = {
      suite: AESGCM,
      pattern: KKpsk0hfs,
      kem,
      psk: new Uint8Array(32).fill(psk),
      prologue: new Uint8Array(0),
    }
    const a = new HandshakeState({
      ...shared,
      initiator: true,
      s: other,
      rs: s.publicKey,
      ephemeralSecret: () => new Uint8Array(32).fill(ephemeral),
    })
    const b = new HandshakeState({
      ...shared,
      initiator: false,
      s,
      rs: other.publicKey,
      ephemeralSecret: () => new Uint8Array(32).fill(13),
    })
    b.readMessage(a.writeMessage(new Uint8Array(0)))
    a.readMessage(b.writeMessage(new Uint8Array(0)))
    const keys = a.finish()
    t.deepEqual(b.finish(), keys)
    return [keys.initiatorKey, keys.responderKey, keys.root].map(toHex).join()
  }
  const key = mlKem768KeyPair(new Uint8Array(64).fill(5))
  const { ciphertext, sharedSecret } = MLKEM768.encapsulate(MLKEM768.importKey(key.publicKey))
  const kem: Kem = {
    ...MLKEM768,
    generate: () => key,
    encapsulate: () => ({ ciphertext, sharedSecret: Uint8Array.from(sharedSecret) }),
  }
  const otherKem: Kem = { ...MLKEM768, generate: () => key }
  const all = [run(kem, 1, 1), run(kem, 2, 1), run(kem, 1, 2), run(otherKem, 1, 1)].flatMap((k) =>
    k.split(','),
  )
  t.is(run(kem, 1, 1), all.slice(0, 3).join())
  t.is(new Set(all).size, 12)
})

test('what was secret is zeroed: ephemeral secret, and everything after the end', (t) => {
  const secret = new Uint8Array(32).fill(11)
  const s = AESGCM.keyPair(new Uint8Array(32).fill(7))
  const initiator = new HandshakeState({
    suite: AESGCM,
    pattern: IK,
    initiator: true,
    prologue: new Uint8Array(0),
    s,
    rs: s.publicKey,
    ephemeralSecret: () => secret,
  })
  initiator.writeMessage(new Uint8Array(0))
  t.deepEqual(secret, new Uint8Array(32))
  const { initiator: a, responder: b } = pair(AESGCM)
  b.readMessage(a.writeMessage(new Uint8Array(0)))
  a.readMessage(b.writeMessage(new Uint8Array(0)))
  const keys = a.finish()
  t.throws(() => a.finish(), { message: /not finished/u })
  b.wipe()
  t.throws(() => b.finish(), { message: /not finished/u })
  t.throws(() => b.writeMessage(new Uint8Array(0)), { message: /not ours/u })
  const { initiatorKey, responderKey, root } = keys
  wipe(initiatorKey, responderKey, root)
  t.deepEqual(
    [initiatorKey, responderKey, root],
    [new Uint8Array(32), new Uint8Array(32), new Uint8Array(32)],
  )
})

test('a psk pattern without its psk is a bug of ours', (t) => {
  const s = AESGCM.keyPair(new Uint8Array(32).fill(7))
  t.throws(
    () =>
      new HandshakeState({
        suite: AESGCM,
        pattern: KKpsk0,
        initiator: true,
        prologue: new Uint8Array(0),
        s,
        rs: s.publicKey,
        ephemeralSecret: () => new Uint8Array(32),
      }),
    { message: /psk/u },
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

test('a full memory of converted keys forgets the one unused for longest, which is converted again', (t) => {
  const max = CONVERTED_KEYS_MAX / 256 // a conversion costs a millisecond or two
  const convert = identityKeyConverter(max)
  const keys = Array.from(
    { length: max + 1 },
    (_, i) => ed25519Signer(new Uint8Array(32).fill(i + 1)).publicKey,
  )
  const oneMore = keys.pop() as Uint8Array
  const [first, second] = keys as [Uint8Array, Uint8Array]
  const before = keys.map((key) => convert(key)) as [Uint8Array, Uint8Array]
  t.true(
    keys.every((key, i) => convert(key) === before[i]),
    'as many as fit are remembered',
  )
  convert(first)
  convert(oneMore)
  t.is(convert(first), before[0], 'used since')
  t.not(convert(second), before[1], 'the one forgotten')
  t.deepEqual(convert(second), before[1])
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
