import {
  createDecipheriv,
  createHash,
  createHmac,
  createPrivateKey,
  createPublicKey,
  decapsulate,
  diffieHellman,
  type CipherGCMTypes,
} from 'node:crypto'

/*
 * A second reading of the formats, written from the READMEs of noise-ik, rotation and record and sharing no code with them:
 * only node:crypto. It decrypts published vectors with the initiator's secrets; it cannot write anything.
 */

const hex = (text: string): Buffer => Buffer.from(text, 'hex')
const sha256 = (...parts: Buffer[]): Buffer => createHash('sha256').update(Buffer.concat(parts)).digest()
const hmac = (key: Buffer, data: Buffer): Buffer => createHmac('sha256', key).update(data).digest()

/** Noise §4.3. */
function hkdf3(chainingKey: Buffer, input: Buffer): [Buffer, Buffer, Buffer] {
  const temp = hmac(chainingKey, input)
  const one = hmac(temp, Buffer.from([1]))
  const two = hmac(temp, Buffer.concat([one, Buffer.from([2])]))
  return [one, two, hmac(temp, Buffer.concat([two, Buffer.from([3])]))]
}

/** AEAD of a Noise cipher name with the nonce of Noise §12. */
export function openAead(name: string, key: Buffer, counter: number, ad: Buffer, sealed: Buffer): Buffer {
  const nonce = Buffer.alloc(12)
  if (name === 'AESGCM') nonce.writeBigUInt64BE(BigInt(counter), 4)
  else nonce.writeBigUInt64LE(BigInt(counter), 4)
  const algorithm = (name === 'AESGCM' ? 'aes-256-gcm' : 'chacha20-poly1305') as CipherGCMTypes
  const decipher = createDecipheriv(algorithm, key, nonce, { authTagLength: 16 })
  decipher.setAAD(ad).setAuthTag(sealed.subarray(-16))
  return Buffer.concat([decipher.update(sealed.subarray(0, -16)), decipher.final()])
}

function x25519(secret: Buffer, publicKey: Buffer): Buffer {
  return diffieHellman({ privateKey: x25519Secret(secret), publicKey: x25519Public(publicKey) })
}

function x25519Secret(secret: Buffer): ReturnType<typeof createPrivateKey> {
  const der = Buffer.concat([hex('302e020100300506032b656e04220420'), secret])
  return createPrivateKey({ key: der, format: 'der', type: 'pkcs8' })
}

function x25519Public(publicKey: Buffer): ReturnType<typeof createPublicKey> {
  return createPublicKey({
    key: Buffer.concat([hex('302a300506032b656e032100'), publicKey]),
    format: 'der',
    type: 'spki',
  })
}

/** Public half of an X25519 secret. */
export function x25519PublicOf(secret: Buffer): Buffer {
  return createPublicKey(x25519Secret(secret)).export({ format: 'der', type: 'spki' }).subarray(-32)
}

/** What the reader of a vector knows: the initiator's secrets, and nothing secret of the responder. */
export interface Handshake {
  readonly protocolName: string
  readonly prologue: Buffer
  readonly psk: Buffer
  readonly initiatorStatic: Buffer
  readonly initiatorEphemeral: Buffer
  readonly kemSeed: Buffer
  readonly responderStaticPublic: Buffer
  readonly messages: readonly [Buffer, Buffer]
}

/** What it finds out. */
export interface Decoded {
  readonly payloads: [Buffer, Buffer]
  readonly handshakeHash: Buffer
  readonly initiatorKey: Buffer
  readonly responderKey: Buffer
  readonly root: Buffer
}

/**
 * Follows IKhfs (`e, es, s, ss, e1` / `e, ee, ekem1, se`) or KKhfs+psk0 (`psk, e, es, ss, e1` / `e, ee, ekem1, se`) from the
 * initiator's secrets. Throws for whatever does not authenticate or does not fit.
 */
export function decodeHandshake(known: Handshake): Decoded {
  const [, pattern = '', , cipher = ''] = known.protocolName.split('_')
  const isKk = pattern === 'KKhfs+psk0'
  if (!isKk && pattern !== 'IKhfs') throw new Error(pattern)
  let hash = sha256(Buffer.from(known.protocolName))
  let chain = hash
  let key = Buffer.alloc(0)
  let counter = 0
  const mixHash = (data: Buffer): void => void (hash = sha256(hash, data))
  const mixKey = (input: Buffer): void => {
    ;[chain, key] = hkdf3(chain, input) as [Buffer<ArrayBuffer>, Buffer<ArrayBuffer>, Buffer]
    counter = 0
  }
  const open = (sealed: Buffer): Buffer => {
    const plain = openAead(cipher, key, counter++, hash, sealed)
    mixHash(sealed)
    return plain
  }
  const kemSecret = createPrivateKey({
    key: known.kemSeed,
    format: 'raw-seed',
    asymmetricKeyType: 'ml-kem-768',
  })
  const s = x25519PublicOf(known.initiatorStatic)
  mixHash(known.prologue)
  if (isKk) mixHash(s)
  mixHash(known.responderStaticPublic)

  let rest = known.messages[0]
  const take = (length: number): Buffer => {
    if (rest.length < length) throw new Error('short message')
    const part = rest.subarray(0, length)
    rest = rest.subarray(length)
    return part
  }
  const expect = (what: string, found: Buffer, wanted: Buffer): void => {
    if (!found.equals(wanted)) throw new Error(`${what} is not the one in the message`)
  }
  if (isKk) {
    const [chained, hashed, keyed] = hkdf3(chain, known.psk)
    chain = chained
    mixHash(hashed)
    key = keyed as Buffer<ArrayBuffer>
    counter = 0
  }
  const e = take(32)
  expect('e', e, x25519PublicOf(known.initiatorEphemeral))
  mixHash(e)
  if (isKk) mixKey(e)
  mixKey(x25519(known.initiatorEphemeral, known.responderStaticPublic))
  if (!isKk) expect('s', open(take(48)), s)
  mixKey(x25519(known.initiatorStatic, known.responderStaticPublic))
  const kemPublic = createPublicKey(kemSecret).export({ format: 'raw-public' })
  expect('e1', open(take(1184 + 16)), kemPublic)
  const first = open(take(rest.length))

  rest = known.messages[1]
  const re = take(32)
  mixHash(re)
  if (isKk) mixKey(re)
  mixKey(x25519(known.initiatorEphemeral, re))
  mixKey(decapsulate(kemSecret, open(take(1088 + 16))))
  mixKey(x25519(known.initiatorStatic, re))
  const second = open(take(rest.length))

  const [initiatorKey, responderKey, third] = hkdf3(chain, Buffer.alloc(0))
  const root = hmac(hmac(third, hash), Buffer.concat([Buffer.from('kith/rotation-root/1'), Buffer.from([1])]))
  return { payloads: [first, second], handshakeHash: hash, initiatorKey, responderKey, root }
}

/** One rotation as the published vectors give it: its secrets on the initiator's side, and what it must come to. */
export interface PublishedRotation {
  readonly by: string
  readonly initiator_ephemeral: string
  readonly kem_seed: string
  readonly rot: string
  readonly ack: string
}

/** Secrets of a session, and the rotations in it. */
export interface PublishedSession {
  readonly suite: string
  readonly dialler_static: string
  readonly listener_static: string
  readonly handshake_hash: string
  readonly dialler_key: string
  readonly listener_key: string
  readonly root: string
  readonly rotations: readonly PublishedRotation[]
}

/** What one rotation gives. */
export interface DecodedRotation {
  readonly epoch: number
  readonly diallerKey: Buffer
  readonly listenerKey: Buffer
  readonly root: Buffer
}

/** Follows one rotation, ROT and ACK contents, from the root before it. */
export function decodeRotationPair(
  session: PublishedSession,
  rotation: PublishedRotation,
  root: Buffer,
  rot: Buffer,
  ack: Buffer,
): DecodedRotation {
  if (rot.length !== 1260 || ack.length !== 1164) throw new Error('wrong size')
  if (!rot.subarray(0, 12).equals(ack.subarray(0, 12))) throw new Error('ROT and ACK name different attempts')
  const isDialler = rotation.by === 'dialler'
  const [ours, theirs] = isDialler
    ? [session.dialler_static, session.listener_static]
    : [session.listener_static, session.dialler_static]
  const cipher = session.suite === 'aesgcm' ? 'AESGCM' : 'ChaChaPoly'
  const decoded = decodeHandshake({
    protocolName: `Noise_KKhfs+psk0_25519+MLKEM768_${cipher}_SHA256`,
    prologue: Buffer.concat([
      Buffer.from('kith/rotation'),
      Buffer.from([1, session.suite === 'aesgcm' ? 1 : 2]),
      rot.subarray(0, 12),
      hex(session.handshake_hash),
    ]),
    psk: root,
    initiatorStatic: hex(ours),
    initiatorEphemeral: hex(rotation.initiator_ephemeral),
    kemSeed: hex(rotation.kem_seed),
    responderStaticPublic: x25519PublicOf(hex(theirs)),
    messages: [rot.subarray(12), ack.subarray(12)],
  })
  if (decoded.payloads.some((payload) => payload.length > 0)) throw new Error('a payload is not empty')
  const { initiatorKey, responderKey } = decoded
  return {
    epoch: rot.readUInt32BE(0),
    diallerKey: isDialler ? initiatorKey : responderKey,
    listenerKey: isDialler ? responderKey : initiatorKey,
    root: decoded.root,
  }
}

/** A record as it was read. */
export interface DecodedRecord {
  readonly from: string
  readonly type: string
  readonly epoch: number
  readonly counter: number
  readonly plaintext: string
}

const TYPES = ['data', 'rot', 'ack', 'confirm', 'close']

/** Reads the records of a whole session in their order, following each rotation in it. Throws for whatever is out of place. */
export function decodeSession(
  session: PublishedSession,
  records: readonly { readonly from: string; readonly record: string }[],
): DecodedRecord[] {
  const cipher = session.suite === 'aesgcm' ? 'AESGCM' : 'ChaChaPoly'
  const keys = new Map([['dialler 0', hex(session.dialler_key)]]).set('listener 0', hex(session.listener_key))
  const next = new Map([['dialler', [0, 0]]]).set('listener', [0, 0])
  let root = hex(session.root)
  let rot: Buffer | undefined
  const read: DecodedRecord[] = []
  for (const { from, record } of records) {
    const bytes = hex(record)
    const header = bytes.subarray(0, 16)
    const type = TYPES[header.readUInt8(0)] ?? ''
    const [epoch, counter] = [header.readUInt32BE(4), Number(header.readBigUInt64BE(8))]
    if (header.readUIntBE(1, 3) !== bytes.length - 16) throw new Error('the length is not that of the record')
    const [atEpoch = 0, atCounter = 0] = next.get(from) ?? []
    const isSwitch = epoch === atEpoch + 1
    if (counter !== atCounter || (!isSwitch && epoch !== atEpoch)) throw new Error('out of order')
    if (isSwitch && type !== 'confirm') throw new Error('an epoch does not begin with CONFIRM')
    const key = keys.get(`${from} ${epoch}`)
    if (key === undefined) throw new Error(`no key of ${from} for epoch ${epoch}`)
    const plain = openAead(cipher, key, counter, header, bytes.subarray(16))
    next.set(from, [epoch, counter + 1])
    if (type === 'rot') rot = plain
    if (type === 'ack') {
      const rotation = session.rotations.find((one) => rot?.toString('hex') === one.rot)
      if (rotation === undefined || rot === undefined) throw new Error('an ACK without its ROT')
      const decoded = decodeRotationPair(session, rotation, root, rot, plain)
      root = decoded.root
      keys.set(`dialler ${decoded.epoch}`, decoded.diallerKey)
      keys.set(`listener ${decoded.epoch}`, decoded.listenerKey)
    }
    read.push({ from, type, epoch, counter, plaintext: plain.toString('hex') })
  }
  return read
}
