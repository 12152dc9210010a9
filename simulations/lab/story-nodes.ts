import type { Invite, Peer, Service } from '../../node/api/schemas.ts'
import { outcomeOf, type Outcome } from '../scenarios/story-outcome.ts'
import { nodesOf, type Story, type StoryNode } from '../scenarios/story.ts'
import type { Internet } from './internet.ts'
import { LabNode } from './lab-node.ts'
import type { Lab } from './lab.ts'

/** Nothing that another node on this machine could have already. */
const QUIET = ['--no-ui', '--dns', '0', '--gateway-port', '0', '--no-mdns']
/** Two cores start so many at once without any of them waiting for its turn too long. */
const AT_ONCE = 3
/** A name that does not open by then does not open. */
const OPEN_SECONDS = 5

/** The real processes of a story, each on a machine of its site. */
export class StoryNodes {
  readonly names: readonly string[]
  readonly #lab: Lab
  readonly #net: Internet
  readonly #story: Story
  readonly #plans: readonly StoryNode[]
  readonly #nodes: ReadonlyMap<string, LabNode>
  /** Machines that went to another home, so far. */
  #roamed = 0

  constructor(lab: Lab, net: Internet, story: Story) {
    this.#lab = lab
    this.#net = net
    this.#story = story
    this.#plans = nodesOf(story)
    this.names = this.#plans.map(({ name }) => name)
    this.#nodes = new Map(
      this.#plans.map(({ name, site, index }) => [name, new LabNode(lab, name, net.host(site, index))]),
    )
  }

  /** The first founds the mesh, the others join it by its invite; each publishes its own name. */
  async start(): Promise<void> {
    const [founder, ...others] = this.#plans
    if (founder === undefined) throw new Error('no nodes')
    await this.node(founder.name).up('--create', 'home', ...this.#flags(founder))
    await this.#publish(founder.name)
    const { invite } = await this.node(founder.name).json<Invite>('invite', '--uses', String(others.length))
    const startSome = async (): Promise<void> => {
      for (let next = others.shift(); next !== undefined; next = others.shift()) {
        await this.node(next.name).up('--join', invite, ...this.#flags(next))
        await this.#publish(next.name)
      }
    }
    await Promise.all(Array.from({ length: AT_ONCE }, startSome))
  }

  /** @throws Error for a name the story has not. */
  node(name: string): LabNode {
    const node = this.#nodes.get(name)
    if (node === undefined) throw new Error(`there is no node "${name}"`)
    return node
  }

  /** `kill -9`. */
  kill(name: string): Promise<void> {
    return this.node(name).kill()
  }

  /** Starts a killed one again. */
  async restart(name: string): Promise<void> {
    const plan = this.#plans.find((each) => each.name === name)
    if (plan !== undefined) await this.node(name).up(...this.#flags(plan))
  }

  /** The machine's cable is pulled and put into another home's router; the process goes on. */
  async roam(name: string, to: string): Promise<void> {
    const plan = this.#plans.find((each) => each.name === name)
    if (plan === undefined) throw new Error(`there is no node "${name}"`)
    const device = `roam${this.#roamed++}`
    const machine = this.#net.host(plan.site, plan.index)
    const [router, newRouter] = [this.#net.router(plan.site), this.#net.router(to)]
    const newNamespace = this.#lab.namespace(newRouter)
    await this.#ip(router, `link set lan${plan.index} netns ${newNamespace} name ${device}`)
    await this.#ip(newRouter, `link set ${device} master lan`)
    await this.#ip(newRouter, `link set ${device} up`)
    await this.#ip(machine, 'addr flush dev eth0')
    await this.#ip(machine, `addr add 192.168.1.${100 + this.#roamed}/24 dev eth0`)
    await this.#ip(machine, 'link set eth0 up')
    await this.#ip(machine, 'route add default via 192.168.1.1')
  }

  /** How these nodes hold all others. `opens` is left empty: opening takes long. */
  async holds(observers: readonly string[]): Promise<Outcome> {
    const peers = new Map(
      await Promise.all(
        observers.map(async (name) => [name, await this.node(name).client.get<Peer[]>('/peers')] as const),
      ),
    )
    const hold = (one: string, other: string): string =>
      peers.get(one)?.find((peer) => peer.name === other)?.state ?? 'unknown'
    return outcomeOf(observers, this.names, hold, () => false)
  }

  /** The same, and which names open. */
  async look(observers: readonly string[]): Promise<Outcome> {
    const { holds } = await this.holds(observers)
    const rows = await Promise.all(observers.map(async (name) => [name, await this.#openable(name)] as const))
    const opens = new Map(rows)
    return {
      holds,
      opens: outcomeOf(
        observers,
        this.names,
        () => '',
        (one, other) => opens.get(one)?.has(other) === true,
      ).opens,
    }
  }

  /** What a node says of its own: for a failure's report. */
  logs(characters: number): string {
    return [...this.#nodes.values()]
      .map((node) => `log of ${node.name}:\n${node.log().slice(-characters)}`)
      .join('\n')
  }

  #flags({ name, site }: StoryNode): string[] {
    const spec = this.#story.sites.find((each) => each.name === site)
    const address = spec?.kind === 'open' ? this.#net.address(site) : '0.0.0.0'
    const listening = (spec?.ports ?? []).flatMap((port) => ['--listen', `/ip4/${address}/tcp/${port}`])
    return ['--name', name, ...listening, ...QUIET]
  }

  async #publish(name: string): Promise<void> {
    this.#lab.folder(`site-${name}`)
    this.#lab.file(`site-${name}/index.html`, name)
    const path = this.#lab.folder(`site-${name}`)
    await this.node(name).client.post('/services', { name: serviceOf(name), target: path })
  }

  /** Owners whose page this node gets by name, over its own gateway. */
  async #openable(observer: string): Promise<Set<string>> {
    const services = await this.node(observer).client.get<Service[]>('/services')
    const asked = this.names.flatMap((owner) => {
      const url = services.find(({ name }) => name === serviceOf(owner))?.localUrl
      return owner === observer || url === undefined || url === null ? [] : [{ owner, url }]
    })
    const pages = await Promise.all(
      asked.map(({ url }) =>
        this.#lab.run(this.node(observer).machine, 'curl', ['-s', '-m', String(OPEN_SECONDS), url]),
      ),
    )
    return new Set(asked.filter(({ owner }, i) => pages[i]?.stdout === owner).map(({ owner }) => owner))
  }

  async #ip(machine: string, line: string): Promise<void> {
    const { code, stderr } = await this.#lab.run(machine, 'ip', line.split(' '))
    if (code !== 0) throw new Error(`ip ${line} on ${machine}: ${stderr}`)
  }
}

/** A node's name is taken by the node itself. */
function serviceOf(node: string): string {
  return `page-${node}`
}
