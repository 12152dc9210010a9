import test from 'ava'
import { expectedPath } from '../../../protocols/traversal/expected-path.ts'
import { ATTEMPT_MS } from '../../../protocols/traversal/limits.ts'
import type { NatBehaviour, Standing } from '../../../protocols/traversal/nat.ts'
import { NAT_KINDS } from '../../../simulations/lab/nat-kinds.ts'
import { ModelNat, seeded } from './model-nat.ts'
import { ModelNetwork, VirtualTime } from './model-network.ts'
import { ModelPeer, serveReflector } from './model-peer.ts'

/* The two machines over models of NATs, for every ordered pair of the README's matrix. */

const DELAY_MS = 25
const RELAYED_RTT_MS = 4 * DELAY_MS
const SEEDS = 20
const REFLECTOR = { ip: Uint8Array.of(52, 0, 0, 1), port: 4001 }

interface Kind {
  readonly standing: Standing
  /** From the host outwards. */
  readonly nats: readonly NatBehaviour[]
  readonly ports?: 'sequential'
  readonly unsolicited?: 'reset'
}
const behind = (nat: NatBehaviour): Kind => ({ standing: nat, nats: [nat] })
const portRestricted: NatBehaviour = NAT_KINDS['port-restricted'].tcp
const KINDS: Readonly<Record<string, Kind>> = {
  open: { standing: 'dialable', nats: [] },
  'full-cone': behind(NAT_KINDS['full-cone'].tcp),
  'address-restricted': behind(NAT_KINDS['address-restricted'].tcp),
  'port-restricted': behind(portRestricted),
  'other-port': behind(NAT_KINDS['port-restricted-other-port'].tcp),
  symmetric: behind(NAT_KINDS.symmetric.tcp),
  sequential: { ...behind(NAT_KINDS['symmetric-sequential'].tcp), ports: 'sequential' },
  cgnat: { standing: portRestricted, nats: [portRestricted, portRestricted] },
  'linux-open': { ...behind(NAT_KINDS['linux-open'].tcp), unsolicited: 'reset' },
}
const PAIRS = Object.entries(KINDS).flatMap(([one, a]) =>
  Object.entries(KINDS).map(([other, b]) => ({ name: `${one} → ${other}`, a, b })),
)

interface Met {
  readonly initiator: ModelPeer
  readonly responder: ModelPeer
  readonly synsResent: number
}

/** One attempt; `isKnown`: both know how they stand. `delayMs` one way, `isGlare`: both begin at once, `lateMs`: one way of the relay is slower. */
function meet(
  a: Kind,
  b: Kind,
  seed: number,
  { isKnown = true, delayMs = DELAY_MS, isGlare = false, lateMs = 0 } = {},
): Met {
  const random = seeded(seed)
  const time = new VirtualTime()
  const net = new ModelNetwork(time, delayMs + random())
  serveReflector(net.addHost(REFLECTOR.ip), REFLECTOR)
  const [initiator, responder] = [a, b].map((kind, side) => {
    const { nats, ports, unsolicited, standing } = kind
    const models = nats.map((nat, depth) => {
      const options = { random, ...(ports && { ports }), ...(unsolicited && { unsolicited }) }
      return new ModelNat(Uint8Array.of(52, 1 + side, depth, 9), nat, options)
    })
    const host = net.addHost(
      nats.length === 0 ? Uint8Array.of(52, 9, side, 1) : Uint8Array.of(192, 168, 7, 2),
      models,
    )
    const options = {
      ownId: side === 0 ? 'a' : 'b',
      peerId: side === 0 ? 'b' : 'a',
      nonce: Uint8Array.from({ length: 16 }, () => Math.floor(random() * 256)),
      standing: isKnown ? standing : null,
      peerStanding: null,
      hasV6: false,
      vouched: null,
    }
    return new ModelPeer(net, host, REFLECTOR, options, random)
  }) as [ModelPeer, ModelPeer]
  initiator.deliver = (bytes) =>
    time.after(2 * net.delayMs + Math.max(0, lateMs), () => responder.frame(bytes))
  responder.deliver = (bytes) =>
    time.after(2 * net.delayMs + Math.max(0, -lateMs), () => initiator.frame(bytes))
  initiator.start()
  if (isGlare) time.after(random() * 2, () => responder.start())
  const isOver = (): boolean => initiator.outcome !== null && responder.outcome !== null
  time.runUntil(2 * ATTEMPT_MS, isOver)
  return { initiator, responder, synsResent: net.synsResent }
}

const p50 = (values: readonly number[]): number => values.toSorted((a, b) => a - b)[values.length >> 1] ?? 0

for (const isKnown of [true, false]) {
  test(`pairs meet where the matrix says so, their standings ${isKnown ? 'known' : 'not known'}`, (t) => {
    const rtts: number[] = []
    let resent = 0
    for (const { name, a, b } of PAIRS) {
      const expected = expectedPath(a.standing, b.standing)
      const isDirect = expected.path !== 'relay'
      const reason = isKnown ? expected.reason : 'punch-timeout'
      for (let seed = 0; seed < (isKnown ? SEEDS : 3); seed++) {
        const { initiator, responder, synsResent } = meet(a, b, seed, { isKnown })
        for (const peer of [initiator, responder]) {
          const { outcome, sockets } = peer
          t.is(outcome?.path, isDirect ? 'direct' : 'relay', `${name} ${seed}: ${JSON.stringify(outcome)}`)
          t.is(sockets.size, isDirect ? 1 : 0, name)
          if (outcome?.path === 'direct') t.is(outcome.role, peer === initiator ? 'initiator' : 'responder')
          else if (isKnown) t.is(outcome?.reason, reason, name)
        }
        // Without standings one side waits until the end, and the other hears of it.
        if (!isDirect && !isKnown) {
          const reasons = [initiator, responder].map(
            ({ outcome }) => outcome?.path === 'relay' && outcome.reason,
          )
          t.true(
            reasons.some((each) => each === 'punch-timeout' || each === 'attempt-limit'),
            `${name}: ${reasons}`,
          )
        }
        if (!isDirect) continue
        const tookMs = initiator.endedAt - (initiator.offeredAt ?? 0)
        resent += synsResent
        rtts.push(tookMs / RELAYED_RTT_MS)
        t.true(tookMs <= 2_500, `${name} took ${tookMs} ms`)
      }
    }
    t.log(
      `direct after p50 ${p50(rtts).toFixed(2)} relayed RTT (${rtts.length} tries), max ${Math.max(...rtts).toFixed(2)}`,
    )
    t.true(p50(rtts) <= 4)
    t.is(resent, 0)
  })
}

test('both offering at once meet as well, on one socket', (t) => {
  for (const { name, a, b } of PAIRS) {
    const isDirect = expectedPath(a.standing, b.standing).path !== 'relay'
    for (let seed = 0; seed < 3; seed++) {
      const { initiator, responder } = meet(a, b, seed, { isGlare: true })
      t.is(initiator.outcome?.path, isDirect ? 'direct' : 'relay', name)
      t.is(responder.outcome?.path, isDirect ? 'direct' : 'relay', name)
      if (initiator.outcome?.path === 'direct') t.is(initiator.outcome.role, 'initiator')
      if (responder.outcome?.path === 'direct') t.is(responder.outcome.role, 'responder')
    }
  }
})

test('what the delay is matters little', (t) => {
  for (const delayMs of [5, 50, 150])
    for (const { name, a, b } of PAIRS) {
      const isDirect = expectedPath(a.standing, b.standing).path !== 'relay'
      const { initiator, responder } = meet(a, b, delayMs, { delayMs })
      t.is(initiator.outcome?.path, isDirect ? 'direct' : 'relay', `${name} at ${delayMs} ms`)
      t.is(responder.outcome?.path, isDirect ? 'direct' : 'relay', `${name} at ${delayMs} ms`)
    }
})

test('where one side dials long before the other, refusals and lost SYNs are followed by more', (t) => {
  const missed = new Map<string, number>()
  const refused: number[] = []
  const resent: number[] = []
  // Half of it is between the two sides' connects: the early SYN is there before the late side has sent any.
  for (const lateMs of [120, 400, -120, -400])
    for (const { name, a, b } of PAIRS) {
      if (expectedPath(a.standing, b.standing).path === 'relay') continue
      for (let seed = 0; seed < 3; seed++) {
        const { initiator, responder, synsResent } = meet(a, b, seed, { lateMs })
        t.is(initiator.outcome?.path, responder.outcome?.path, name)
        const tookMs = initiator.endedAt - (initiator.offeredAt ?? 0)
        if (initiator.outcome?.path !== 'direct') missed.set(name, (missed.get(name) ?? 0) + 1)
        else if (synsResent > 0) resent.push(tookMs - Math.abs(lateMs))
        else if ((initiator.state?.connects ?? 0) > 1 || (responder.state?.connects ?? 0) > 1)
          refused.push(tookMs)
      }
    }
  t.log(
    `after refusals p50 ${p50(refused).toFixed(0)} ms (${refused.length} tries); ` +
      `with a SYN sent again p50 ${p50(resent).toFixed(0)} ms, max ${Math.max(...resent).toFixed(0)} ms (${resent.length} tries)`,
  )
  t.true(refused.length > 0 && resent.length > 0)
  t.true(p50(resent) <= 1_500)
  t.deepEqual([...missed.keys()], [])
})
