import test from 'ava'
import * as fc from 'fast-check'
import { equalBytes, fromHex, toHex, utf8 } from '../../../protocols/common/bytes.ts'
import type { KithError } from '../../../protocols/common/errors.ts'
import { NoiseError } from '../../../protocols/noise-ik/errors.ts'
import { AESGCM, CHACHAPOLY } from '../../../protocols/noise-ik/suite.ts'
import { rotationCrypto } from '../../../protocols/rotation/crypto.ts'
import { RotationError } from '../../../protocols/rotation/errors.ts'
import { ACK_BYTES, ROT_BYTES } from '../../../protocols/rotation/limits.ts'
import { step } from '../../../protocols/rotation/machine.ts'
import { createRotation, type RotationState } from '../../../protocols/rotation/state.ts'
import {
  attemptOf,
  decodeRotation,
  encodeRotation,
  rotationNonce,
  rotationPrologue,
} from '../../../protocols/rotation/wire.ts'
import { choicesOf } from '../../../simulations/channel/seed.ts'
import { decodeRotationPair, decodeSession } from './independent-decoder.ts'
import { playSession, readSessions } from './vectors.ts'

test('golden bytes of ROT, ACK, nonce and prologue', (t) => {
  const nonce = rotationNonce(0x01020304, fromHex('aabbccdd'))
  t.is(toHex(nonce), '01020304aabbccdd')
  t.is(attemptOf(nonce), 0x01020304)
  const rot = encodeRotation('rot', { epoch: 5, nonce, noise: new Uint8Array(1248).fill(0x11) })
  t.is(toHex(rot), `0000000501020304aabbccdd${'11'.repeat(1248)}`)
  const ack = encodeRotation('ack', { epoch: 0xfffffffe, nonce, noise: new Uint8Array(1152).fill(0x22) })
  t.is(toHex(ack), `fffffffe01020304aabbccdd${'22'.repeat(1152)}`)
  t.deepEqual([rot.length, ack.length], [ROT_BYTES, ACK_BYTES])
  t.deepEqual([ROT_BYTES, ACK_BYTES], [1260, 1164])
  t.is(
    toHex(rotationPrologue(2, 7, nonce, new Uint8Array(32).fill(0x33))),
    `${toHex(utf8('kith/rotation'))}01020000000701020304aabbccdd${'33'.repeat(32)}`,
  )
})

test('any ROT and ACK survives a round trip; any other length is refused', (t) => {
  const bytes = (length: number) => fc.uint8Array({ minLength: length, maxLength: length })
  for (const [type, noise] of [
    ['rot', 1248],
    ['ack', 1152],
  ] as const)
    fc.assert(
      fc.property(fc.nat(0xffffffff), bytes(8), bytes(noise), (epoch, nonce, noise) => {
        t.deepEqual(decodeRotation(type, encodeRotation(type, { epoch, nonce, noise })), {
          epoch,
          nonce,
          noise,
        })
      }),
      { numRuns: 50 },
    )
  fc.assert(
    fc.property(
      fc.uint8Array({ maxLength: 1400, size: 'max' }),
      fc.constantFrom('rot' as const, 'ack' as const),
      (bytes, type) => {
        try {
          t.deepEqual(encodeRotation(type, decodeRotation(type, bytes)), bytes)
        } catch (error) {
          t.true(error instanceof RotationError && error.code === 'rotation-protocol-error')
        }
      },
    ),
    { numRuns: 300 },
  )
  t.throws(() => encodeRotation('rot', { epoch: 1, nonce: new Uint8Array(8), noise: new Uint8Array(1) }), {
    message: /rot of 13 bytes/u,
  })
})

/** Both sides of a rotation with real keys; what is random depends on `seed`. */
function realPair(seed: string, suite = AESGCM, hashes = [new Uint8Array(32), new Uint8Array(32)] as const) {
  const choices = choicesOf(seed)
  const [a, b] = [suite.keyPair(choices.bytes(32)), suite.keyPair(choices.bytes(32))]
  const root = choices.bytes(32)
  const crypto = [
    rotationCrypto({ suite, s: a, rs: b.publicKey, handshakeHash: hashes[0], random: choices }),
    rotationCrypto({ suite, s: b, rs: a.publicKey, handshakeHash: hashes[1], random: choices }),
  ] as const
  const states = [true, false].map((dialler, index) =>
    createRotation({ dialler, root: root.slice() }, 0, crypto[index as 0 | 1]),
  ) as [RotationState, RotationState]
  return { crypto, states }
}

const IDLE = { sentRecords: 0, sentBytes: 0, receivedRecords: 0, receivedBytes: 0 }

function sentPayload(effects: ReturnType<typeof step>[1]): Uint8Array {
  const sent = effects.find(({ type }) => type === 'send')
  return sent?.type === 'send' ? sent.payload : new Uint8Array(0)
}

test('two real machines come to the same keys, crosswise, and the same root; what is no longer needed is zeroed', (t) => {
  for (const suite of [AESGCM, CHACHAPOLY]) {
    const { crypto, states } = realPair('real', suite)
    const oldRoot = states[0].root
    const [a1, asked] = step(states[0], { type: 'rotate', usage: IDLE }, 0, crypto[0])
    const [b1, answered] = step(states[1], { type: 'rot', payload: sentPayload(asked) }, 0, crypto[1])
    const [a2, switched] = step(a1, { type: 'ack', payload: sentPayload(answered) }, 0, crypto[0])
    const keyOf = (effects: ReturnType<typeof step>[1], type: 'expect' | 'switch'): string => {
      const effect = effects.find((one) => one.type === type)
      return effect?.type === type ? toHex(effect.key) : ''
    }
    const [aReads, aWrites] = [keyOf(switched, 'expect'), keyOf(switched, 'switch')]
    const [b2, promoted] = step(b1, { type: 'promoted', epoch: 1 }, 0, crypto[1])
    t.is(keyOf(answered, 'expect'), aWrites)
    t.is(keyOf(promoted, 'switch'), aReads)
    t.not(aReads, aWrites)
    const [a3] = step(a2, { type: 'promoted', epoch: 1 }, 0, crypto[0])
    t.true(equalBytes(a3.root, b2.root))
    t.deepEqual(oldRoot, new Uint8Array(32))
    t.notDeepEqual(a3.root, new Uint8Array(32))
    const [closed] = step(a3, { type: 'closed' }, 0, crypto[0])
    t.true(closed.closed)
    t.deepEqual(a3.root, new Uint8Array(32))
  }
})

test('the secrets of a rotation that is dropped are zeroed', (t) => {
  const { crypto, states } = realPair('dropped')
  const [, asked] = step(states[0], { type: 'rotate', usage: IDLE }, 0, crypto[0])
  const [answered] = step(states[1], { type: 'rot', payload: sentPayload(asked) }, 0, crypto[1])
  const keys = answered.next?.keys
  step(answered, { type: 'closed' }, 0, crypto[1])
  for (const secret of [keys?.root, keys?.writeKey, keys?.readKey]) t.deepEqual(secret, new Uint8Array(32))
  const nonce = new Uint8Array(8)
  const offer = crypto[0].initiate(new Uint8Array(32), 1, nonce)
  offer.drop()
  t.throws(() => offer.finish(new Uint8Array(1152)), { message: /not ours/u })
})

test('downgrade: another suite, session or root makes the ROT undecryptable', (t) => {
  const cases = [
    [realPair('one'), realPair('one', CHACHAPOLY)],
    [realPair('one'), realPair('one', AESGCM, [new Uint8Array(32), new Uint8Array(32).fill(1)])],
    [realPair('one'), realPair('other')],
  ] as const
  for (const [ours, theirs] of cases) {
    const [, asked] = step(ours.states[0], { type: 'rotate', usage: IDLE }, 0, ours.crypto[0])
    const event = { type: 'rot', payload: sentPayload(asked) } as const
    const [after, effects] = step(theirs.states[1], event, 0, theirs.crypto[1])
    t.true(after.closed)
    t.like(effects.at(-1), { type: 'close', code: 'rotation-protocol-error' })
  }
})

test('any changed byte of ROT or ACK ends the connection, or leaves everything as it is', (t) => {
  const { crypto, states } = realPair('fuzz')
  const [asking, asked] = step(states[0], { type: 'rotate', usage: IDLE }, 0, crypto[0])
  const rot = sentPayload(asked)
  fc.assert(
    fc.property(fc.nat(rot.length - 1), fc.integer({ min: 1, max: 255 }), (at, flip) => {
      const changed = rot.slice()
      changed[at] = (changed[at] ?? 0) ^ flip
      const root = states[1].root.slice()
      const [after, effects] = step({ ...states[1], root }, { type: 'rot', payload: changed }, 0, crypto[1])
      // Attempts are counted from 1: number 0 looks like one that was overtaken.
      const isOvertaken = attemptOf(changed.subarray(4, 12)) === 0
      t.is(after.closed, !isOvertaken, `byte ${at}`)
      t.is(effects.length, isOvertaken ? 0 : 2)
    }),
    { numRuns: 80 },
  )
  const [, answered] = step(states[1], { type: 'rot', payload: rot }, 0, crypto[1])
  const ack = sentPayload(answered)
  fc.assert(
    fc.property(fc.nat(ack.length - 1), fc.integer({ min: 1, max: 255 }), (at, flip) => {
      const changed = ack.slice()
      changed[at] = (changed[at] ?? 0) ^ flip
      const offer = crypto[0].initiate(asking.root, 1, asking.own?.nonce ?? new Uint8Array(8))
      const own = asking.own === null ? null : { ...asking.own, offer }
      const root = asking.root.slice()
      const [after, effects] = step({ ...asking, own, root }, { type: 'ack', payload: changed }, 0, crypto[0])
      const isLate = at >= 4 && at < 12
      t.is(after.closed, !isLate, `byte ${at}`)
      t.is(effects.length, isLate ? 0 : 2)
    }),
    { numRuns: 60 },
  )
})

test('bad ROT or ACK: a key of small order, a key with numbers out of range and arbitrary bytes end the connection', (t) => {
  const { crypto, states } = realPair('bad')
  const nonce = rotationNonce(1, new Uint8Array(4))
  const payloads = [
    encodeRotation('rot', { epoch: 1, nonce, noise: new Uint8Array(1248) }),
    encodeRotation('rot', { epoch: 1, nonce, noise: new Uint8Array(1248).fill(0xff) }),
    encodeRotation('rot', { epoch: 2, nonce, noise: new Uint8Array(1248) }),
    encodeRotation('rot', { epoch: 0, nonce, noise: new Uint8Array(1248) }),
    new Uint8Array(ROT_BYTES - 1),
    new Uint8Array(0),
  ]
  for (const payload of payloads) {
    const state = { ...states[1], root: states[1].root.slice() }
    const [after, effects] = step(state, { type: 'rot', payload }, 0, crypto[1])
    t.true(after.closed)
    t.like(effects.at(-1), { type: 'close', code: 'rotation-protocol-error' })
    t.like(effects.at(-2), {
      type: 'event',
      event: { kind: 'rotation.failed', reason: 'rotation-protocol-error', severity: 'alert' },
    })
  }
  const error = t.throws<KithError>(() => crypto[1].respond(states[1].root, 1, nonce, new Uint8Array(1248)))
  t.true(error instanceof NoiseError && error.code === 'low-order-key')
})

for (const vector of readSessions('record')) {
  test(`${vector.suite}: the published session comes out again, byte for byte`, (t) => {
    const played = playSession(vector)
    t.deepEqual(played.records, vector.records)
    t.deepEqual(played.rotations, vector.rotations)
  })

  test(`${vector.suite}: an independent decoder reads the published session`, (t) => {
    const read = decodeSession(vector, vector.records)
    t.deepEqual(
      read,
      vector.records.map(({ from, type, epoch, counter, plaintext }) => ({
        from,
        type,
        epoch,
        counter,
        plaintext,
      })),
    )
    t.is(Math.max(...read.map(({ epoch }) => epoch)), 2)
    const changed = vector.records.map(({ from, record }, at) =>
      at === 9
        ? { from, record: `${record.slice(0, -1)}${record.endsWith('0') ? '1' : '0'}` }
        : { from, record },
    )
    t.throws(() => decodeSession(vector, changed))
  })
}

test('no record can be cut off before a switch: dropping any one of a session is noticed', (t) => {
  const [vector] = readSessions('record')
  if (vector === undefined) throw new Error('unreachable')
  for (const [at, { from }] of vector.records.entries()) {
    // What is behind the last record of a side is noticed by the missing CLOSE.
    if (!vector.records.slice(at + 1).some((later) => later.from === from)) continue
    t.throws(() => decodeSession(vector, vector.records.toSpliced(at, 1)), undefined, `record ${at}`)
  }
})

for (const vector of readSessions('rotation')) {
  test(`${vector.suite}: an independent decoder agrees about the published rotations`, (t) => {
    let root = Buffer.from(vector.root, 'hex')
    for (const rotation of vector.rotations) {
      const bytes = (text: string): Buffer => Buffer.from(text, 'hex')
      const found = decodeRotationPair(vector, rotation, root, bytes(rotation.rot), bytes(rotation.ack))
      const isDialler = rotation.by === 'dialler'
      t.is(found.epoch, rotation.epoch)
      t.is(toHex(isDialler ? found.diallerKey : found.listenerKey), rotation.initiator_key)
      t.is(toHex(isDialler ? found.listenerKey : found.diallerKey), rotation.responder_key)
      t.is(toHex(found.root), rotation.root)
      root = Buffer.from(found.root)
    }
  })
}
