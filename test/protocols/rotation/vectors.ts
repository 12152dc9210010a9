import { readFileSync } from 'node:fs'
import { concat, fromHex, toHex } from '../../../protocols/common/bytes.ts'
import { MLKEM768, mlKem768KeyPair } from '../../../protocols/noise-ik/kem.ts'
import { SUITES, suiteByName, type SuiteName } from '../../../protocols/noise-ik/suite.ts'
import { RecordReader } from '../../../protocols/record/reader.ts'
import { RecordWriter } from '../../../protocols/record/writer.ts'
import { rotationCrypto } from '../../../protocols/rotation/crypto.ts'
import { RotationDriver } from '../../../protocols/rotation/driver.ts'

/** All that is random in one rotation, and what it must come to. Hexadecimal. */
export interface RotationVector {
  by: Name
  epoch: number
  nonce: string
  initiator_ephemeral: string
  responder_ephemeral: string
  kem_seed: string
  kem_ciphertext: string
  kem_shared_secret: string
  rot: string
  ack: string
  /** Keys of the records of the rotation's initiator and responder, and pre-shared key of the next rotation. */
  initiator_key: string
  responder_key: string
  root: string
}

/** One record of a session. */
export interface RecordVector {
  from: Name
  type: string
  epoch: number
  counter: number
  plaintext: string
  record: string
}

/** A whole short session. */
export interface SessionVector {
  suite: SuiteName
  dialler_static: string
  listener_static: string
  handshake_hash: string
  /** Record keys of epoch 0, and the root the handshake gave. */
  dialler_key: string
  listener_key: string
  root: string
  rotations: RotationVector[]
  records: RecordVector[]
}

/** Sides of the connection. */
export type Name = 'dialler' | 'listener'

/** What the application does in the session of the vectors; everything in between follows by itself. */
const SCRIPT: readonly (readonly [Name, 'confirm' | 'rotate' | 'close' | 'data', string?])[] = [
  ['dialler', 'confirm'],
  ['dialler', 'data', 'the first record of the application'],
  ['listener', 'data', 'an answer'],
  ['dialler', 'rotate'],
  ['dialler', 'data', 'under the keys of epoch 1'],
  ['listener', 'data', ''],
  ['listener', 'rotate'],
  ['listener', 'data', 'under the keys of epoch 2, whose rotation the listener began'],
  ['dialler', 'close'],
  ['listener', 'close'],
]

/** The vectors of `rotation` or `record`. */
export function readSessions(folder: 'rotation' | 'record'): SessionVector[] {
  const url = new URL(`../../fixtures/${folder}/vectors.json`, import.meta.url)
  return (JSON.parse(readFileSync(url, 'utf8')) as { vectors: SessionVector[] }).vectors
}

/** Plays the session again with two real drivers, all that is random taken from `vector`. */
export function playSession(vector: SessionVector): Pick<SessionVector, 'rotations' | 'records'> {
  const suite = suiteByName(vector.suite)
  if (SUITES.get(suite.id) !== suite) throw new Error(vector.suite)
  const records: RecordVector[] = []
  const rotations: RotationVector[] = []
  const statics = {
    dialler: suite.keyPair(fromHex(vector.dialler_static)),
    listener: suite.keyPair(fromHex(vector.listener_static)),
  }
  const waiting: [Name, Uint8Array][] = []
  const side = (name: Name) => {
    const other = name === 'dialler' ? 'listener' : 'dialler'
    const now = (): RotationVector => {
      const rotation = vector.rotations[driver.view.epoch]
      if (rotation === undefined) throw new Error('no such rotation in the vector')
      return rotation
    }
    const real = rotationCrypto({
      suite,
      s: statics[name],
      rs: statics[other].publicKey,
      handshakeHash: fromHex(vector.handshake_hash),
      random: {
        bytes(length) {
          if (length === 32)
            return fromHex(now().by === name ? now().initiator_ephemeral : now().responder_ephemeral)
          // The jitter of the start comes before there is a driver, that of the last epoch behind the last rotation.
          const nonce = vector.rotations[records.length === 0 ? 0 : driver.view.epoch]?.nonce
          return nonce === undefined ? new Uint8Array(4) : fromHex(nonce).subarray(4)
        },
      },
      kem: {
        ...MLKEM768,
        generate: () => mlKem768KeyPair(fromHex(now().kem_seed)),
        encapsulate: () => ({
          ciphertext: fromHex(now().kem_ciphertext),
          sharedSecret: fromHex(now().kem_shared_secret),
        }),
      },
    })
    const crypto = {
      ...real,
      respond: (...from: Parameters<typeof real.respond>) => {
        const { by, epoch, nonce, ...secrets } = now()
        const answer = real.respond(...from)
        const { keys } = answer
        rotations.push({
          by,
          epoch,
          nonce,
          ...secrets,
          rot: records.findLast(({ type }) => type === 'rot')?.plaintext ?? '',
          ack: toHex(concat(fromHex(secrets.rot).subarray(0, 12), answer.message)),
          initiator_key: toHex(keys.readKey),
          responder_key: toHex(keys.writeKey),
          root: toHex(keys.root),
        })
        return answer
      },
    }
    const keyOf = (of: Name): Uint8Array =>
      fromHex(of === 'dialler' ? vector.dialler_key : vector.listener_key)
    const writer = new RecordWriter(suite.cipher(keyOf(name)), 0, (size) => new Uint8Array(size))
    const reader = new RecordReader(suite.cipher(keyOf(other)), 0)
    const send = (type: 'data' | 'rot' | 'ack' | 'confirm' | 'close', payload?: Uint8Array): void => {
      const { epoch } = writer
      const bytes = concat(...writer.seal(type, payload === undefined ? [] : [payload]))
      const plaintext = toHex(payload ?? new Uint8Array(0))
      const counter = Number(Buffer.from(bytes).readBigUInt64BE(8))
      records.push({ from: name, type, epoch, counter, plaintext, record: toHex(bytes) })
      waiting.push([other, bytes])
    }
    const driver: RotationDriver = new RotationDriver({
      writer,
      reader,
      cipher: suite.cipher,
      crypto,
      dialler: name === 'dialler',
      root: fromHex(vector.root),
      link: {
        isWritable: true,
        flush: () => undefined,
        send,
        fail: (code) => {
          throw new Error(code)
        },
      },
      clock: { now: () => 0 },
      timers: { after: () => () => undefined },
      emit: () => undefined,
    })
    return { driver, send, reader }
  }
  const sides = { dialler: side('dialler'), listener: side('listener') }
  for (const [name, action, text] of SCRIPT) {
    const { driver, send } = sides[name]
    if (action === 'rotate') driver.rotate()
    else send(action, text === undefined ? undefined : new TextEncoder().encode(text))
    for (let next = waiting.shift(); next !== undefined; next = waiting.shift()) {
      const to = sides[next[0]]
      to.reader.push(next[1], ({ type, epoch, parts }) => {
        if (type === 'confirm' && epoch > 0) to.driver.onPromoted(epoch)
        if (type === 'rot' || type === 'ack') to.driver.onRecord(type, concat(...parts))
      })
    }
  }
  return { rotations, records }
}
