import { readFile } from 'node:fs/promises'

const RTF_UP = 1
const RTF_GATEWAY = 2
/** Routes looked at; a host has a handful, and those behind are passed over. */
export const ROUTES_MAX = 4096

/** The IPv4 default gateway of the best route in the text of /proc/net/route; null without one. */
export function defaultGateway(table: string): string | null {
  let best: { metric: number; gateway: string } | null = null
  for (const line of table.split('\n', ROUTES_MAX + 1).slice(1)) {
    const [, destination = '', gateway = '', flags = '', , , metric = '', mask = ''] = line
      .trim()
      .split(/\s+/)
    const bits = Number.parseInt(flags, 16)
    if (destination !== '00000000' || mask !== '00000000' || !/^[0-9A-F]{8}$/i.test(gateway)) continue
    if ((bits & RTF_UP) === 0 || (bits & RTF_GATEWAY) === 0) continue
    if (best === null || Number(metric) < best.metric)
      best = { metric: Number(metric), gateway: dotted(gateway) }
  }
  return best === null ? null : best.gateway
}

/** The kernel prints addresses as a number of the machine's own byte order, which is little-endian wherever Node runs today. */
function dotted(hex: string): string {
  return [6, 4, 2, 0].map((at) => Number.parseInt(hex.slice(at, at + 2), 16)).join('.')
}

/** The default gateway of this machine; null without one, and where the system has no /proc/net/route. */
export async function findGateway(): Promise<string | null> {
  let table: string
  try {
    table = await readFile('/proc/net/route', 'utf8')
  } catch {
    // Another system than Linux: there is nobody to ask.
    return null
  }
  return defaultGateway(table)
}
