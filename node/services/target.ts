import { statSync } from 'node:fs'
import { resolve } from 'node:path'
import { TunnelError } from '../../protocols/tunnel/errors.ts'
import type { ServiceProtocol } from '../api/schemas.ts'

/** Where a published service's bytes go on the provider. */
export type Target =
  | { readonly kind: 'tcp'; readonly host: string; readonly port: number }
  | { readonly kind: 'folder'; readonly path: string }

/** A target as typed, understood; `proto` is what it implies unless the user says otherwise. */
export interface ParsedTarget {
  readonly target: Target
  readonly proto: ServiceProtocol
  /** The port the service has for others. */
  readonly port: number
}

const DEFAULT_PORTS: Readonly<Record<string, number>> = { http: 80, https: 443 }

/**
 * Reads `3000`, `host:port`, `http://host:port`, `https://…`, `tcp://host:port` or a folder.
 * @throws TunnelError `target-invalid`.
 */
export function parseTarget(text: string): ParsedTarget {
  if (/^\d+$/.test(text)) return tcpTarget(text, '127.0.0.1', Number(text), 'http')
  const url = /^(http|https|tcp):\/\/(\[[^\]]+\]|[^/:]+)(?::(\d+))?\/?$/.exec(text)
  if (url !== null) {
    const [, scheme = '', host = '', port] = url
    return tcpTarget(
      text,
      host,
      port === undefined ? (DEFAULT_PORTS[scheme] ?? 0) : Number(port),
      scheme as ServiceProtocol,
    )
  }
  const hostPort = /^(\[[^\]]+\]|[A-Za-z0-9.-]+):(\d+)$/.exec(text)
  if (hostPort !== null) return tcpTarget(text, hostPort[1] ?? '', Number(hostPort[2]), 'http')
  if (text.includes('://'))
    throw new TunnelError(
      'target-invalid',
      `"${text}" is not a target: only http, https and tcp URLs without a path`,
    )
  return folderTarget(text)
}

function tcpTarget(text: string, host: string, port: number, proto: ServiceProtocol): ParsedTarget {
  if (port < 1 || port > 65_535)
    throw new TunnelError('target-invalid', `"${text}" is not a target: port ${port} is outside 1 to 65535`)
  return { target: { kind: 'tcp', host: host.replace(/^\[(.*)\]$/, '$1'), port }, proto, port }
}

function folderTarget(text: string): ParsedTarget {
  const path = resolve(text)
  if (text === '' || statSync(path, { throwIfNoEntry: false })?.isDirectory() !== true) {
    throw new TunnelError(
      'target-invalid',
      `"${text}" is not a target: no port, host:port, URL or existing folder`,
    )
  }
  return { target: { kind: 'folder', path }, proto: 'http', port: 80 }
}
