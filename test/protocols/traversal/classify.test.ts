import test from 'ava'
import fc from 'fast-check'
import {
  classify,
  outsideEndpoints,
  type Arrival,
  type Observations,
  type View,
} from '../../../protocols/traversal/classify.ts'
import { scopeOf, type Endpoint } from '../../../protocols/traversal/endpoint.ts'
import type { Dependence, NatBehaviour } from '../../../protocols/traversal/nat.ts'
import { NAT_KINDS } from '../../../simulations/lab/nat-kinds.ts'
import { ModelNat, seeded } from './model-nat.ts'

const ip = (text: string): Uint8Array => Uint8Array.from(text.split('.').map(Number))
const at = (text: string, port: number): Endpoint => ({ ip: ip(text), port })

const INSIDE = at('192.168.7.2', 41_000)
const OUTSIDE = ip('52.0.0.9')
const FIRST = [at('52.0.0.1', 4001), at('52.0.0.1', 4002)] as const
const SECOND = [at('52.0.0.2', 4001), at('52.0.0.2', 4002)] as const
const REFLECTORS = [...FIRST, ...SECOND]
const NOTHING: Observations = {
  local: INSIDE,
  views: [],
  arrivals: [],
  hairpin: null,
  reached: null,
  routerOutside: null,
}

/** What a node behind this NAT sees, asking as the README says: one port for all views, a fresh one for each arrival. */
function observe(behaviour: NatBehaviour, seed: number): Observations {
  const nat = new ModelNat(OUTSIDE, behaviour, { random: seeded(seed) })
  const views = REFLECTORS.map((reflector) => ({ reflector, outside: nat.out(INSIDE, reflector) }))
  const arrivals = [FIRST[1], SECOND[0]].map((from, index): Arrival => {
    const fresh = { ip: INSIDE.ip, port: INSIDE.port + 1 + index }
    const { port } = nat.out(fresh, FIRST[0])
    return { sentTo: [FIRST[0]], from, arrived: nat.in(from, port) !== null }
  })
  return { ...NOTHING, views, arrivals, hairpin: behaviour.hairpins, reached: false }
}

const dependence = fc.constantFrom<Dependence>(
  'endpoint-independent',
  'address-dependent',
  'address-and-port-dependent',
)
const behaviour = fc
  .record({ mapping: dependence, filtering: dependence, keepsPort: fc.boolean(), hairpins: fc.boolean() })
  // Who maps anew for each target has to leave the inside port.
  .filter(({ keepsPort, mapping }) => !keepsPort || mapping === 'endpoint-independent')

test('each kind of NAT of the lab is recognised', (t) => {
  for (const [name, { tcp }] of Object.entries(NAT_KINDS)) {
    if (name === 'firewall') continue
    const found = classify(observe(tcp, 7))
    t.deepEqual(found.standing, tcp, name)
    t.deepEqual(found.towards, { mapping: tcp.mapping, filtering: tcp.filtering }, name)
    t.deepEqual(found.hints, [], name)
  }
})

test('a firewall without translation is one behind which the port is kept, an open host is dialable', (t) => {
  const local = { ip: OUTSIDE, port: INSIDE.port }
  const views = REFLECTORS.map((reflector) => ({ reflector, outside: local }))
  const arrivals = (arrived: boolean): Arrival[] =>
    [FIRST[1], SECOND[0]].map((from) => ({ sentTo: [FIRST[0]], from, arrived }))
  const seen = { ...NOTHING, local, views, hairpin: true }
  t.deepEqual(classify({ ...seen, arrivals: arrivals(false) }).standing, NAT_KINDS.firewall.tcp)
  t.is(classify({ ...seen, arrivals: arrivals(true) }).standing, 'dialable')
})

test('any NAT of RFC 4787 is told from what it does', (t) => {
  fc.assert(
    fc.property(behaviour, fc.nat(), (nat, seed) => {
      t.deepEqual(classify(observe(nat, seed)).standing, nat)
    }),
  )
})

test('whatever part of the observations is missing, what is told is true', (t) => {
  fc.assert(
    fc.property(
      behaviour,
      fc.nat(),
      fc.array(fc.boolean(), { minLength: 4, maxLength: 4 }),
      fc.array(fc.boolean(), { minLength: 2, maxLength: 2 }),
      (nat, seed, hasView, hasArrival) => {
        const all = observe(nat, seed)
        const found = classify({
          ...all,
          views: all.views.filter((_, index) => hasView[index]),
          arrivals: all.arrivals.filter((_, index) => hasArrival[index]),
        })
        for (const [part, name] of [
          [found.mapping, 'mapping'],
          [found.filtering, 'filtering'],
          [found.keepsPort, 'keepsPort'],
        ] as const) {
          if (part.value === null) t.is(typeof part.unknown, 'string')
          else if (part.value !== nat[name]) return false
        }
        // Two reflector addresses and two ports of one are needed, and enough.
        const isEnough = (hasView[0] || hasView[1]) && (hasView[2] || hasView[3])
        if (isEnough && nat.mapping === 'endpoint-independent') t.is(found.mapping.value, nat.mapping)
        return true
      },
    ),
  )
})

test('what is missing is named', (t) => {
  const nothing = classify(NOTHING)
  t.is(nothing.standing, null)
  t.deepEqual(
    [nothing.mapping.unknown, nothing.filtering.unknown, nothing.keepsPort.unknown, nothing.hairpins.unknown],
    ['nat-not-seen', 'nat-not-probed', 'nat-not-seen', 'nat-not-probed'],
  )
  const view = { reflector: FIRST[0], outside: { ip: OUTSIDE, port: 1 } }
  t.is(classify({ ...NOTHING, views: [view] }).mapping.unknown, 'nat-one-reflector')
  const whole = observe(NAT_KINDS.symmetric.tcp, 1)
  const noHairpin = classify({ ...whole, hairpin: null })
  t.is(noHairpin.standing, null)
  t.deepEqual(noHairpin.towards, {
    mapping: 'address-and-port-dependent',
    filtering: 'address-and-port-dependent',
  })
  // One reflector tells what is let in, and not what another one would see.
  const alone = observe(NAT_KINDS['port-restricted'].tcp, 1)
  const isFirst = ({ ip: address }: Endpoint): boolean => String(address) === String(FIRST[0].ip)
  const byOne = classify({
    ...alone,
    views: alone.views.filter(({ reflector }) => isFirst(reflector)),
    arrivals: alone.arrivals.filter(({ from, sentTo }) => isFirst(from) && sentTo.every(isFirst)),
  })
  t.deepEqual(byOne.towards, { mapping: null, filtering: 'address-and-port-dependent' })
  t.is(byOne.standing, null)
  t.is(classify(NOTHING).towards, null)
})

test('views that contradict each other lead to no answer', (t) => {
  const seen = (reflector: Endpoint, port: number): View => ({ reflector, outside: { ip: OUTSIDE, port } })
  const tables: readonly (readonly View[])[] = [
    [seen(FIRST[0], 1), seen(FIRST[0], 2), seen(SECOND[0], 1)],
    [seen(FIRST[0], 1), seen(FIRST[1], 2), seen(SECOND[0], 1)],
    [seen(FIRST[0], 1), seen(SECOND[0], 1), seen(at('52.0.0.3', 1), 9)],
    [seen(FIRST[0], 1), seen(FIRST[1], 1), seen(at('52.0.0.1', 4003), 2)],
  ]
  for (const views of tables) t.is(classify({ ...NOTHING, views }).mapping.unknown, 'nat-views-contradict')
})

test('a reflector that lies costs its victim the direct way, and gains none', (t) => {
  fc.assert(
    fc.property(behaviour, fc.nat(), fc.integer({ min: 1, max: 65_535 }), (nat, seed, port) => {
      const honest = observe(nat, seed)
      const views = honest.views.map((view) =>
        view.reflector.ip === SECOND[0].ip || view.reflector.ip === SECOND[1].ip
          ? { ...view, outside: { ip: OUTSIDE, port } }
          : view,
      )
      const { mapping } = classify({ ...honest, views })
      const isTruth = honest.views.some(({ outside }) => outside.port === port)
      t.true(isTruth || mapping.value !== 'endpoint-independent')
    }),
  )
})

test('a NAT behind another, a provider’s NAT and several addresses show', (t) => {
  const one = observe(NAT_KINDS['port-restricted'].tcp, 1)
  t.deepEqual(classify({ ...one, routerOutside: OUTSIDE }).hints, [])
  t.deepEqual(classify({ ...one, routerOutside: ip('192.168.1.2') }).hints, ['nat-double'])
  t.deepEqual(classify({ ...one, routerOutside: ip('52.0.0.77') }).hints, ['nat-double'])
  t.deepEqual(classify({ ...one, routerOutside: ip('100.64.3.4') }).hints, ['nat-carrier'])
  const views = one.views.map((view, index) =>
    index === 3 ? { ...view, outside: at('52.0.0.10', view.outside.port) } : view,
  )
  t.deepEqual(classify({ ...one, views }).hints, ['nat-several-addresses'])
  t.is(outsideEndpoints(views).length, 2)
})

test('a reflector in the own network says nothing of the NAT', (t) => {
  const one = observe(NAT_KINDS['port-restricted'].tcp, 1)
  const near = { reflector: at('192.168.7.3', 4001), outside: INSIDE }
  t.deepEqual(classify({ ...one, views: [near, ...one.views] }).standing, NAT_KINDS['port-restricted'].tcp)
  t.deepEqual(classify({ ...NOTHING, views: [near] }).hints, [])
})

test('a forwarded port makes a node dialable, whatever its NAT does', (t) => {
  fc.assert(
    fc.property(behaviour, fc.nat(), (nat, seed) =>
      t.is(classify({ ...observe(nat, seed), reached: true }).standing, 'dialable'),
    ),
  )
})

test('addresses lead where their registries say', (t) => {
  const six = (...bytes: number[]): Uint8Array => {
    const address = new Uint8Array(16)
    address.set(bytes)
    return address
  }
  const mapped = (text: string): Uint8Array =>
    Uint8Array.of(0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, ...ip(text))
  const table: readonly (readonly [Uint8Array, string])[] = [
    [ip('52.0.0.1'), 'public'],
    [ip('0.0.0.0'), 'reserved'],
    [ip('10.255.0.1'), 'private'],
    [ip('100.63.255.255'), 'public'],
    [ip('100.64.0.0'), 'shared'],
    [ip('100.127.255.255'), 'shared'],
    [ip('100.128.0.0'), 'public'],
    [ip('127.0.0.53'), 'loopback'],
    [ip('169.254.169.254'), 'link-local'],
    [ip('172.31.255.255'), 'private'],
    [ip('172.32.0.0'), 'public'],
    [ip('192.168.1.1'), 'private'],
    [ip('224.0.0.251'), 'reserved'],
    [ip('255.255.255.255'), 'reserved'],
    [six(0x20, 0x03, 0x00, 0xe8), 'public'],
    [six(0xfe, 0x80), 'link-local'],
    [six(0xfd, 0x01), 'private'],
    [six(0xff, 0x02), 'reserved'],
    [six(0x20, 0x02, 10, 0, 0, 1), 'reserved'],
    [six(), 'reserved'],
    [Uint8Array.from([...six().slice(0, 15), 1]), 'loopback'],
    [Uint8Array.of(1, 2, 3), 'reserved'],
  ]
  for (const [address, scope] of table) t.is(scopeOf(address), scope as never, address.join('.'))
  for (const [address, scope] of table)
    if (address.length === 4) t.is(scopeOf(mapped(address.join('.'))), scope as never)
})
