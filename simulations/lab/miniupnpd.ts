import type { Internet } from './internet.ts'
import type { Lab } from './lab.ts'
import type { Program } from './program.ts'
import { daemon } from './programs.ts'

/** What the router serves. Its daemon has one switch for NAT-PMP and PCP. */
export interface RouterServices {
  readonly upnp: boolean
  readonly pmp: boolean
}

/**
 * Starts Debian's miniupnpd on the router of a site of the kinds `upnp` and `upnp-behind-carrier`.
 * @throws Error when it has not been unpacked.
 */
export function startMiniupnpd(
  lab: Lab,
  net: Internet,
  site: string,
  { upnp, pmp }: RouterServices,
): Program {
  const found = daemon('miniupnpd')
  if (found === undefined) throw new Error('miniupnpd has not been unpacked')
  const yes = (isOn: boolean): string => (isOn ? 'yes' : 'no')
  const config = [
    'ext_ifname=wan',
    'listening_ip=lan',
    'ipv6_disable=yes',
    `enable_upnp=${yes(upnp)}`,
    `enable_natpmp=${yes(pmp)}`,
    'secure_mode=yes',
    'system_uptime=no',
    'uuid=6b697468-0000-4000-8000-000000000001',
    'allow 1024-65535 192.168.1.0/24 1024-65535',
    'deny 0-65535 0.0.0.0/0 0-65535',
  ]
  const file = lab.file(`miniupnpd-${site}.conf`, `${config.join('\n')}\n`)
  const pid = `${lab.directory}/miniupnpd-${site}.pid`
  return lab.start(net.router(site), found.path, ['-d', '-f', file, '-P', pid], { env: found.env })
}
