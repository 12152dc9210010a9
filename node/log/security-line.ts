import { networkOf } from '../transport/addresses.ts'
import { isIP } from 'node:net'
import type { EventInput } from '../../protocols/common/ports.ts'

/** Characters of the free text at the end of a line; the rest is cut off. */
export const TEXT_MAX = 200

/**
 * Failed handshakes that no member with a slow network, a wrong clock or another version causes: only these may lead to a ban.
 * `handshake-timeout` counts for those who never said who they are.
 */
const HOSTILE: ReadonlySet<string> = new Set([
  'certificate-authority-unknown',
  'certificate-issuer-mismatch',
  'certificate-malformed',
  'certificate-revoked',
  'certificate-role-missing',
  'certificate-signature-invalid',
  'certificate-wrong-key',
  'decrypt-failed',
  'exchange-protocol',
  'handshake-oversize',
  'identity-key-invalid',
  'identity-mismatch',
  'kem-ciphertext-invalid',
  'kem-key-invalid',
  'low-order-key',
  'malformed',
  'message-length',
  'stranger-refused',
])
const REPLAYS: ReadonlySet<string> = new Set(['handshake-replayed', 'message-replayed'])

/** A line, and whom its quota is counted for. */
export interface SecurityLine {
  readonly text: string
  /** The address, or its /64 network; the way in where there is none. */
  readonly source: string
}

/**
 * The line of an event that somebody outside caused; null for all others. Logfmt behind time and program name:
 *
 *     2026-11-22T08:40:01.123Z kith[812]: sec event=auth.failed ip=203.0.113.7 port=50122 via=ui reason=login-link-spent text="…"
 *
 * What others chose stands at the very end only, in quotes, without line breaks, equal signs that could be read as a field, or
 * anything beyond ASCII. `ip=` is there for direct connections only: behind a relay it would be the relay that gets banned.
 */
export function securityLine(event: EventInput, now: number, pid: number): SecurityLine | null {
  const named = nameOf(event)
  if (named === null) return null
  const { name, via } = named
  const from = originOf(event.fields?.['from'])
  const parts = [`event=${name}`]
  if (from?.ip !== undefined) parts.push(`ip=${from.ip}`, `port=${from.port}`)
  parts.push(`via=${from?.relay === undefined ? via : 'relay'}`)
  if (from?.relay !== undefined) parts.push(`relay=${from.relay}`)
  if (event.reason !== undefined && /^[a-z0-9-]{1,64}$/.test(event.reason))
    parts.push(`reason=${event.reason}`)
  if (event.peer !== undefined && isPeerId(event.peer)) parts.push(`peer=${event.peer}`)
  if (event.text !== undefined && event.text !== '') parts.push(`text=${quoted(event.text)}`)
  const text = `${new Date(now).toISOString()} kith[${pid}]: sec ${parts.join(' ')}`
  return { text, source: from?.ip === undefined ? (from?.relay ?? via) : networkOf(from.ip) }
}

/** Why a connection that never got as far as a message is surely no member's. */
const STRANGERS: ReadonlySet<string> = new Set([
  'stranger-refused',
  'handshake-oversize',
  'handshake-timeout',
])

function nameOf({ kind, reason = '', peer, fields }: EventInput): { name: string; via: string } | null {
  switch (kind) {
    case 'auth.failed':
    case 'csrf.denied':
    case 'host.denied':
      return { name: kind, via: 'ui' }
    case 'replay.detected':
      return { name: kind, via: 'mesh' }
    case 'connection.refused':
      // What we cut to make room, or what its owner gave up, may have been an honest caller.
      return STRANGERS.has(reason) ? { name: kind, via: 'mesh' } : null
    case 'join.refused':
    case 'join.turned-away':
      return { name: 'join.denied', via: 'door' }
    case 'handshake.failed': {
      if (fields?.['direction'] !== 'inbound') return null
      if (REPLAYS.has(reason)) return { name: 'replay.detected', via: 'mesh' }
      const stalled = reason === 'handshake-timeout' && peer === undefined
      return HOSTILE.has(reason) || stalled ? { name: kind, via: 'mesh' } : null
    }
    default:
      return null
  }
}

interface Origin {
  readonly ip?: string
  readonly port?: number
  /** Peer id of the relay of an indirect connection, `-` when it is not named. */
  readonly relay?: string
}

/** Reads the multiaddr of a remote end; undefined for one that says nothing of use. */
function originOf(from: string | number | boolean | undefined): Origin | undefined {
  if (typeof from !== 'string') return undefined
  const parts = from.split('/')
  const circuit = parts.indexOf('p2p-circuit')
  if (circuit !== -1) {
    const relay = parts[circuit - 2] === 'p2p' ? (parts[circuit - 1] ?? '') : ''
    return { relay: isPeerId(relay) ? relay : '-' }
  }
  const [, protocol, host = '', transport, port = ''] = parts
  const address = host.replace(/^::ffff:(?=\d+\.\d+\.\d+\.\d+$)/i, '')
  const family = isIP(address)
  const isSound = (protocol === 'ip4' || protocol === 'ip6') && family !== 0 && !address.includes('%')
  if (!isSound || transport !== 'tcp' || !/^\d{1,5}$/.test(port)) return undefined
  return { ip: address, port: Number(port) }
}

function isPeerId(text: string): boolean {
  return /^[1-9A-HJ-NP-Za-km-z]{40,64}$/.test(text)
}

/** In double quotes; whatever is not a plain printable character is escaped, and `=` too, so that no field can be forged. */
function quoted(text: string): string {
  const escaped = text
    .slice(0, TEXT_MAX)
    .replaceAll(
      /[^\u0020-\u007e]|["\\=]/g,
      (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`,
    )
  return `"${escaped}"`
}
