import 'reflect-metadata' // @peculiar/x509 resolves its algorithms through it
import { webcrypto } from 'node:crypto'
import {
  GeneralName,
  GeneralSubtree,
  GeneralSubtrees,
  id_ce_nameConstraints,
  NameConstraints,
} from '@peculiar/asn1-x509'
import { AsnConvert } from '@peculiar/asn1-schema'
import {
  BasicConstraintsExtension,
  Extension,
  KeyUsageFlags,
  KeyUsagesExtension,
  PemConverter,
  SubjectKeyIdentifierExtension,
  X509CertificateGenerator,
  cryptoProvider,
} from '@peculiar/x509'

/** 20 years: the mesh's lifetime. A root ends by founding anew, never by waiting for its expiry. */
const ROOT_LIFETIME_MS = 20 * 365 * 86_400_000
/** RFC 5280 §4.1.2.2: up to 20 octets; 16 random ones with the top bit clear. */
const SERIAL_BYTES = 16

/** The mesh's X.509 root: pinned in the root document, so it must exist before the mesh has an id. */
export interface X509Root {
  readonly certificateDer: Uint8Array
  /** PKCS #8 PEM; secret. */
  readonly privateKeyPem: string
}

/**
 * Makes a self-signed P-256 root (browsers refuse Ed25519), constrained to the mesh's domain (RFC 5280 §4.2.1.10): even a
 * stolen root key signs for no name outside of it.
 */
export async function createX509Root(meshName: string, domain: string, now: number): Promise<X509Root> {
  cryptoProvider.set(webcrypto)
  const algorithm = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' }
  const keys = (await webcrypto.subtle.generateKey(algorithm, true, [
    'sign',
    'verify',
  ]))
  const serial = Buffer.from(webcrypto.getRandomValues(new Uint8Array(SERIAL_BYTES)))
  serial[0] = (serial[0] ?? 0) & 0x7f
  const certificate = await X509CertificateGenerator.createSelfSigned({
    serialNumber: serial.toString('hex'),
    name: `CN=Kith mesh ${meshName} root, O=${domain}`,
    notBefore: new Date(now - 3_600_000), // an hour of grace for clocks behind ours
    notAfter: new Date(now + ROOT_LIFETIME_MS),
    signingAlgorithm: algorithm,
    keys,
    extensions: [
      new BasicConstraintsExtension(true, 1, true),
      new KeyUsagesExtension(KeyUsageFlags.keyCertSign | KeyUsageFlags.cRLSign, true),
      await SubjectKeyIdentifierExtension.create(keys.publicKey),
      permittedDomain(domain),
    ],
  })
  const pkcs8 = await webcrypto.subtle.exportKey('pkcs8', keys.privateKey)
  return {
    certificateDer: new Uint8Array(certificate.rawData),
    privateKeyPem: `${PemConverter.encode(pkcs8, 'PRIVATE KEY')}\n`,
  }
}

function permittedDomain(domain: string): Extension {
  const subtree = new GeneralSubtree({ base: new GeneralName({ dNSName: domain }) })
  const constraints = new NameConstraints({ permittedSubtrees: new GeneralSubtrees([subtree]) })
  return new Extension(id_ce_nameConstraints, true, AsnConvert.serialize(constraints))
}
