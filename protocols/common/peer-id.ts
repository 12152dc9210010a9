import { base58btc } from 'multiformats/bases/base58'
import { concat, equalBytes, fromHex } from './bytes.ts'
import { MalformedError } from './errors.ts'

/** identity multihash (00 24) of the libp2p PublicKey protobuf (type Ed25519: 08 01, data: 12 20). */
const ED25519_PREFIX = fromHex('002408011220')

/**
 * Texts remembered: base58 costs microseconds, and gossip names the same members again and again. As many as a mesh has members;
 * at the limit all are forgotten, so that a flood of strangers' keys costs those microseconds each and nothing more.
 */
const REMEMBERED_MAX = 10_000
const remembered = new Map<string, string>()

/** The libp2p peer id text (`12D3KooW…`) of a 32-byte Ed25519 public key. libp2p peer-ids specification, "Ed25519". */
export function peerIdFromKey(publicKey: Uint8Array): string {
  if (publicKey.length !== 32) throw new Error(`Ed25519 key of ${publicKey.length} bytes, expected 32`)
  const name = Buffer.from(publicKey.buffer, publicKey.byteOffset, 32).toString('latin1')
  const known = remembered.get(name)
  if (known !== undefined) return known
  const id = base58btc.baseEncode(concat(ED25519_PREFIX, publicKey))
  if (remembered.size >= REMEMBERED_MAX) remembered.clear()
  remembered.set(name, id)
  return id
}

/**
 * The 32-byte Ed25519 public key inside a peer id text.
 * @throws MalformedError when the text is no Ed25519 peer id (RSA and secp256k1 ids cannot be dialled over Noise IK).
 */
export function keyFromPeerId(text: string): Uint8Array {
  let bytes: Uint8Array
  try {
    bytes = base58btc.baseDecode(text)
  } catch (cause) {
    throw new MalformedError(`"${text.slice(0, 80)}" is not a peer id`, { cause })
  }
  if (bytes.length !== 38 || !equalBytes(bytes.subarray(0, 6), ED25519_PREFIX)) {
    throw new MalformedError(`"${text.slice(0, 80)}" is not an Ed25519 peer id`)
  }
  return bytes.slice(6)
}
