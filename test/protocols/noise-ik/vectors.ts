import { readFileSync } from 'node:fs'
import { fromHex } from '../../../protocols/common/bytes.ts'
import { MLKEM768, mlKem768KeyPair, type Kem } from '../../../protocols/noise-ik/kem.ts'
import { HandshakeState, protocolName } from '../../../protocols/noise-ik/machine.ts'
import { IK, IKhfs, KKpsk0, KKpsk0hfs, type HandshakePattern } from '../../../protocols/noise-ik/pattern.ts'
import { SUITES, type CipherSuite } from '../../../protocols/noise-ik/suite.ts'

/** One vector in the format of cacophony and snow; the `kem_` fields and the root are ours. All values are hexadecimal. */
export interface Vector {
  protocol_name: string
  init_prologue: string
  init_psks?: string[]
  init_static: string
  init_ephemeral: string
  init_remote_static: string
  resp_prologue: string
  resp_psks?: string[]
  resp_static: string
  resp_ephemeral: string
  /** Public static key of the initiator, where the responder knows it beforehand. */
  resp_remote_static?: string
  /** Seed (64 B) of the initiator's ML-KEM-768 key, and what the responder's encapsulation gave. */
  kem_seed?: string
  kem_ciphertext?: string
  kem_shared_secret?: string
  handshake_hash?: string
  rotation_root?: string
  messages: { payload: string; ciphertext: string }[]
}

/** The vectors of one file in test/fixtures/noise. */
export function readVectors(name: string): Vector[] {
  const url = new URL(`../../fixtures/noise/${name}.json`, import.meta.url)
  return (JSON.parse(readFileSync(url, 'utf8')) as { vectors: Vector[] }).vectors
}

/** Pattern and suite of a protocol name. */
export function parseName(name: string): { pattern: HandshakePattern; suite: CipherSuite } {
  for (const suite of SUITES.values())
    for (const pattern of [IK, IKhfs, KKpsk0, KKpsk0hfs])
      if (protocolName(pattern, suite) === name) return { pattern, suite }
  throw new Error(`no such protocol: ${name}`)
}

/** Both sides of a vector, ready for message 1. */
export function replay(vector: Vector): { initiator: HandshakeState; responder: HandshakeState } {
  const { pattern, suite } = parseName(vector.protocol_name)
  const bytes = (hex: string | undefined): Uint8Array => fromHex(hex ?? '')
  const kem: Kem = {
    ...MLKEM768,
    generate: () => mlKem768KeyPair(bytes(vector.kem_seed)),
    encapsulate: () => ({
      ciphertext: bytes(vector.kem_ciphertext),
      sharedSecret: bytes(vector.kem_shared_secret),
    }),
  }
  const psk = (psks: string[] | undefined): { psk?: Uint8Array } =>
    psks?.[0] === undefined ? {} : { psk: fromHex(psks[0]) }
  const initiator = new HandshakeState({
    suite,
    pattern,
    kem,
    initiator: true,
    prologue: fromHex(vector.init_prologue),
    ...psk(vector.init_psks),
    s: suite.keyPair(fromHex(vector.init_static)),
    rs: fromHex(vector.init_remote_static),
    ephemeralSecret: () => fromHex(vector.init_ephemeral),
  })
  const responder = new HandshakeState({
    suite,
    pattern,
    kem,
    initiator: false,
    prologue: fromHex(vector.resp_prologue),
    ...psk(vector.resp_psks),
    s: suite.keyPair(fromHex(vector.resp_static)),
    ...(vector.resp_remote_static === undefined ? {} : { rs: fromHex(vector.resp_remote_static) }),
    ephemeralSecret: () => fromHex(vector.resp_ephemeral),
  })
  return { initiator, responder }
}
