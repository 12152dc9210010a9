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
  AuthorityKeyIdentifierExtension,
  BasicConstraintsExtension,
  Extension,
  KeyUsageFlags,
  KeyUsagesExtension,
  PemConverter,
  SubjectKeyIdentifierExtension,
  X509CertificateGenerator,
  type X509Certificate,
  cryptoProvider,
} from '@peculiar/x509'

/** 20 years: the mesh's lifetime. A root ends by founding anew, never by waiting for its expiry. */
const ROOT_LIFETIME_MS = 20 * 365 * 86_400_000
/** RFC 5280 §4.1.2.2: up to 20 octets; 16 random ones with the top bit clear. */
const SERIAL_BYTES = 16

/** One year, like the authority certificate it stands beside (protocols/admission). */
const INTERMEDIATE_LIFETIME_MS = 365 * 86_400_000
/** An hour of grace for clocks behind ours. */
const BACKDATED_MS = 3_600_000
/** The library's own names for WebCrypto's types; node's are the same objects under other names. */
type Keys = Parameters<typeof X509CertificateGenerator.createSelfSigned>[0]['keys']
const P256 = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' }

/** A certificate and the key to it. */
export interface X509KeyPair {
  readonly certificateDer: Uint8Array
  /** PKCS #8 PEM; secret. */
  readonly privateKeyPem: string
}

/** What a mesh is founded with: its root, pinned in the root document, and the founder's own intermediate. */
export interface X509Founding {
  readonly root: X509KeyPair
  readonly intermediate: X509KeyPair
}

/**
 * Makes a P-256 root (browsers refuse Ed25519) and a first intermediate below it, both constrained to the mesh's domain
 * (RFC 5280 §4.2.1.10): even a stolen key signs for no name outside of it.
 */
export async function createX509Founding(
  meshName: string,
  domain: string,
  now: number,
): Promise<X509Founding> {
  cryptoProvider.set(webcrypto as Crypto)
  const rootKeys = await generateKeys()
  const root = await X509CertificateGenerator.createSelfSigned({
    serialNumber: randomSerial(),
    name: `CN=Kith mesh ${meshName} root, O=${domain}`,
    notBefore: new Date(now - BACKDATED_MS),
    notAfter: new Date(now + ROOT_LIFETIME_MS),
    signingAlgorithm: P256,
    keys: rootKeys,
    extensions: await authorityExtensions(rootKeys.publicKey, domain, 1),
  })
  const keys = await generateKeys()
  const intermediate = await X509CertificateGenerator.create({
    serialNumber: randomSerial(),
    subject: `CN=Kith mesh ${meshName} authority 1, O=${domain}`,
    issuer: root.subject,
    notBefore: new Date(now - BACKDATED_MS),
    notAfter: new Date(now + INTERMEDIATE_LIFETIME_MS),
    signingAlgorithm: P256,
    publicKey: keys.publicKey,
    signingKey: rootKeys.privateKey,
    extensions: [
      ...(await authorityExtensions(keys.publicKey, domain, 0)),
      await AuthorityKeyIdentifierExtension.create(rootKeys.publicKey),
    ],
  })
  return { root: await keyPairOf(root, rootKeys), intermediate: await keyPairOf(intermediate, keys) }
}

async function generateKeys(): Promise<Keys> {
  return (await webcrypto.subtle.generateKey(P256, true, ['sign', 'verify'])) as unknown as Keys
}

function randomSerial(): string {
  const serial = Buffer.from(webcrypto.getRandomValues(new Uint8Array(SERIAL_BYTES)))
  serial[0] = (serial[0] ?? 0) & 0x7f
  return serial.toString('hex')
}

async function authorityExtensions(
  publicKey: Keys['publicKey'],
  domain: string,
  pathLength: number,
): Promise<Extension[]> {
  return [
    new BasicConstraintsExtension(true, pathLength, true),
    new KeyUsagesExtension(KeyUsageFlags.keyCertSign | KeyUsageFlags.cRLSign, true),
    await SubjectKeyIdentifierExtension.create(publicKey),
    permittedDomain(domain),
  ]
}

async function keyPairOf(certificate: X509Certificate, keys: Keys): Promise<X509KeyPair> {
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
