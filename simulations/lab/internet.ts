import { spawnSync } from 'node:child_process'
import type { Lab } from './lab.ts'
import { planSite, publicAddress, publicAddressV6, type SitePlan, type SiteSpec } from './site.ts'
import { WanLink } from './wan-link.ts'
import type { PathCounts, PathSettings } from './wan.ts'

/** By its path: a package of npm's has a command of this name too. */
const NFT = '/usr/sbin/nft'
/** The kernel's default may be bbr, under which a lossy path looks far too good; reno is the one every namespace may choose. */
const SETTINGS = ['net.ipv4.tcp_congestion_control=reno']
/** Frames between two machines of one home do not pass its NAT. */
const ROUTER_SETTINGS = [
  'net.ipv4.ip_forward=1',
  'net.ipv6.conf.all.forwarding=1',
  'net.bridge.bridge-nf-call-iptables=0',
]

/** How the internet is made. */
export interface InternetOptions {
  /** Everything drawn by chance follows from it. */
  readonly seed: string
  readonly sites: readonly SiteSpec[]
  /** The kernel hands over up to 64 KiB as one packet: fast, but a loss then takes all of them. False where packets get lost. */
  readonly offload?: boolean
  /** Of every path in the beginning. */
  readonly path?: Partial<PathSettings>
}

/** An internet of the lab's own: sites with real kernel NAT, between them a process that delays, loses and cuts. */
export class Internet {
  readonly #lab: Lab
  readonly #link: WanLink
  readonly #sites: ReadonlyMap<string, { number: number; plan: SitePlan }>

  private constructor(
    lab: Lab,
    link: WanLink,
    sites: ReadonlyMap<string, { number: number; plan: SitePlan }>,
  ) {
    this.#lab = lab
    this.#link = link
    this.#sites = sites
  }

  /** Makes all machines in `lab`, which removes them when it closes. @throws Error when a device or rule cannot be made. */
  static async start(
    lab: Lab,
    { seed, sites, offload = true, path = {} }: InternetOptions,
  ): Promise<Internet> {
    const link = new WanLink()
    const plans = new Map(
      sites.map((spec, number) => [spec.name, { number, plan: planSite(spec, number) }] as const),
    )
    try {
      const prefix = `kw${process.pid}-`
      await link.open(seed, sites.length, prefix, offload)
      for (const [, { number, plan }] of plans) build(lab, plan, `${prefix}${number}`)
      const internet = new Internet(lab, link, plans)
      await internet.setAll(path)
      return internet
    } catch (error) {
      await link.close()
      throw error
    }
  }

  /** A machine programs run on, as `Lab` knows it; the site's first one, or the one with this index. */
  host(site: string, index = 0): string {
    const host = this.#site(site).plan.hosts[index]
    if (host === undefined) throw new Error(`site "${site}" has no machine ${index}`)
    return host
  }

  /** The machine that stands on the internet: the router, or the host itself. */
  edge(site: string): string {
    return this.#site(site).plan.edge
  }

  /** The machine the site's hosts have as their gateway; behind a carrier it is not the edge. */
  router(site: string): string {
    return this.#site(site).plan.router
  }

  /** The site's address on the internet. */
  address(site: string): string {
    return publicAddress(this.#site(site).number)
  }

  /** The address of an open site, or of a home's router, in IPv6. */
  addressV6(site: string): string {
    return publicAddressV6(this.#site(site).number)
  }

  /** Changes the path from one site to another, one way only. */
  async setPath(from: string, to: string, settings: Partial<PathSettings>): Promise<void> {
    await this.#link.set([{ from: this.#site(from).number, to: this.#site(to).number, settings }])
  }

  /** Changes every path. */
  async setAll(settings: Partial<PathSettings>): Promise<void> {
    await this.setBetween([...this.#sites.keys()], [...this.#sites.keys()], settings)
  }

  /** Changes the paths between two groups of sites, both ways, between the same two packets. */
  async setBetween(
    some: readonly string[],
    others: readonly string[],
    settings: Partial<PathSettings>,
  ): Promise<void> {
    const numbers = (names: readonly string[]): number[] => names.map((name) => this.#site(name).number)
    const pairs = numbers(some).flatMap((from) => numbers(others).map((to) => [from, to] as const))
    await this.#link.set(
      pairs.flatMap(([from, to]) =>
        from === to
          ? []
          : [
              { from, to, settings },
              { from: to, to: from, settings },
            ],
      ),
    )
  }

  /** Packets from one site to another so far. */
  counts(from: string, to: string): Promise<PathCounts> {
    return this.#link.counts(this.#site(from).number, this.#site(to).number)
  }

  /** The router forgets every mapping, as when it is switched off and on. */
  rebootNat(site: string): void {
    run('conntrack flush', ['ip', 'netns', 'exec', this.#lab.namespace(this.edge(site)), 'conntrack', '-F'])
  }

  /** Ends the process; the machines stay until the lab closes. */
  close(): Promise<void> {
    return this.#link.close()
  }

  #site(name: string): { number: number; plan: SitePlan } {
    const site = this.#sites.get(name)
    if (site === undefined) throw new Error(`there is no site "${name}"`)
    return site
  }
}

function build(lab: Lab, plan: SitePlan, device: string): void {
  lab.machines(...plan.machines.map(({ name }) => name))
  const cables = plan.cables.map(([one, other]) => {
    const [oneNs, otherNs] = [lab.namespace(one.machine), lab.namespace(other.machine)]
    return `link add ${one.device} netns ${oneNs} type veth peer name ${other.device} netns ${otherNs}`
  })
  const moved = `link set ${device} netns ${lab.namespace(plan.edge)} name wan`
  run(`devices of ${plan.edge}`, ['ip', '-batch', '-'], [...cables, moved].join('\n'))
  for (const { name, ip, rules } of plan.machines) {
    const namespace = lab.namespace(name)
    run(`addresses of ${name}`, ['ip', '-n', namespace, '-batch', '-'], ip.join('\n'))
    const settings = rules === null ? SETTINGS : [...SETTINGS, ...ROUTER_SETTINGS]
    run(`settings of ${name}`, ['ip', 'netns', 'exec', namespace, 'sysctl', '-qew', ...settings])
    if (rules !== null) run(`rules of ${name}`, ['ip', 'netns', 'exec', namespace, NFT, '-f', '-'], rules)
  }
}

function run(what: string, [command = '', ...args]: readonly string[], input = ''): void {
  const { status, stderr, error } = spawnSync(command, args, { encoding: 'utf8', input })
  if (status !== 0) throw new Error(`cannot make ${what}: ${error?.message ?? stderr}`)
}
