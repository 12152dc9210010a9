import { BootstrapError } from './errors.ts'
import { inSubnet, ipBytes, ipMultiaddr, isLinkLocalV6 } from './ip-bytes.ts'
import { encodeLegacyAnswer, isKnownAnswer, ownQuestions, sightingsIn, type Sighting } from './lan-service.ts'
import {
  MULTICAST_PORT,
  type LanEffect,
  type LanEvent,
  type LanLink,
  type LanSource,
  type LanState,
  type LinkState,
} from './lan-state.ts'
import { sendDue, speak } from './lan-speaking.ts'
import { hourOf, lanTag } from './lan-tags.ts'
import {
  ANNOUNCEMENTS,
  ANSWER_WAIT_MAX_MS,
  ANSWER_WAIT_MIN_MS,
  HOUR_SPREAD_MS,
  KNOWN_ANSWERS_MAX,
  LAN_TTL_SECONDS,
  LEGACY_ANSWERS_PER_SECOND,
  PACKETS_PER_SECOND,
  QUERY_FIRST_MS,
  TRUNCATED_WAIT_MAX_MS,
  TRUNCATED_WAIT_MIN_MS,
} from './limits.ts'
import { decodeMulticastPacket, type MulticastPacket } from './multicast-packet.ts'

const SECOND_MS = 1_000

/**
 * Multicast DNS for members only: answers with this hour's tag, recognises those of known peers. `now` in ms by a clock that
 * nobody sets, `random` in [0, 1). Tags are random numbers to everybody else, so nobody probes for them and nobody defends
 * them (RFC 6762 §8.1, §9): two hosts never choose the same.
 */
export function step(state: LanState, event: LanEvent, now: number, random: () => number): LanEffect[] {
  const out: LanEffect[] = []
  switch (event.type) {
    case 'look':
      look(state, event, now, random)
      break
    case 'peers':
      if (state.tags.size === 0 && event.peers.length > 0) askAnew(state, now, random)
      state.tags.setPeers(event.peers, state.hour)
      break
    case 'packet':
      take(state, event, now, random, out)
      break
    case 'tick':
      break
    case 'stop':
      return [...state.links.values()].flatMap((each) => speak(state, each, now, [], 0))
  }
  sendDue(state, now, out)
  return out
}

function look(
  state: LanState,
  { wallMs, links, connected }: Extract<LanEvent, { type: 'look' }>,
  now: number,
  random: () => number,
): void {
  const hour = hourOf(wallMs)
  if (hour !== state.hour) {
    state.hour = hour
    state.tags.advance(hour)
    state.ownTag = state.selfKey === null ? null : lanTag(state.meshId, state.selfKey, hour)
    for (const each of state.links.values())
      each.announcement = { left: ANNOUNCEMENTS, dueAt: now + random() * HOUR_SPREAD_MS }
  }
  let isChanged = false
  const ids = new Set(links.map(({ id }) => id))
  for (const id of state.links.keys()) if (!ids.has(id)) state.links.delete(id)
  for (const link of links) {
    const known = state.links.get(link.id)
    if (known !== undefined && isSameLink(known.link, link)) continue
    isChanged = true
    state.links.set(link.id, {
      link,
      answer: null,
      multicastAt: Number.NEGATIVE_INFINITY,
      announcement: { left: ANNOUNCEMENTS, dueAt: now + answerWait(random) },
      heard: new Map(),
      window: { second: 0, count: 0 },
    })
  }
  const wasConnected = state.connected.size > 0
  state.connected = connected
  if (isChanged || (wasConnected && connected.size === 0)) askAnew(state, now, random)
}

/** Begins a new series of queries. */
function askAnew(state: LanState, now: number, random: () => number): void {
  state.query = { dueAt: now + answerWait(random), intervalMs: QUERY_FIRST_MS }
}

function take(
  state: LanState,
  { link: id, bytes, from }: Extract<LanEvent, { type: 'packet' }>,
  now: number,
  random: () => number,
  out: LanEffect[],
): void {
  const { dropped } = state
  const each = state.links.get(id)
  if (each === undefined) return void dropped.unknownLink++
  if (!withinRate(each.window, now, PACKETS_PER_SECOND)) return void dropped.tooMany++
  const source = ipBytes(from.address)
  if (source === undefined || !each.link.subnets.some((subnet) => inSubnet(source, subnet)))
    return void dropped.notOnLink++
  let packet: MulticastPacket
  try {
    packet = decodeMulticastPacket(bytes)
  } catch (error) {
    if (!(error instanceof BootstrapError)) throw error
    return void dropped.malformed++
  }
  if (!packet.isResponse) hearQuery(state, each, packet, from, now, random, out)
  // RFC 6762 §6: responses from other ports are none.
  else if (from.port === MULTICAST_PORT)
    for (const sighting of sightingsIn(packet)) see(state, each, sighting, now, out)
}

function hearQuery(
  state: LanState,
  each: LinkState,
  packet: MulticastPacket,
  from: LanSource,
  now: number,
  random: () => number,
  out: LanEffect[],
): void {
  const { ownTag } = state
  const { endpoint, id } = each.link
  if (ownTag === null || endpoint === null) return
  const isKnown = isKnownAnswer(packet, ownTag)
  const asked = ownQuestions(packet.questions, ownTag)
  if (asked.length === 0) {
    // More known answers of a querier that had too many for one packet.
    if (isKnown && each.answer?.from === from.address) each.answer = null
    return
  }
  if (from.port !== MULTICAST_PORT) {
    if (withinRate(state.legacy, now, LEGACY_ANSWERS_PER_SECOND))
      out.push({
        type: 'send',
        link: id,
        bytes: encodeLegacyAnswer(ownTag, endpoint, packet.id, asked),
        to: from,
      })
    return
  }
  const questions = asked.filter(({ name }) => !isKnown || name.startsWith(ownTag))
  if (questions.length === 0) return
  const waitMs = packet.isTruncated
    ? between(TRUNCATED_WAIT_MIN_MS, TRUNCATED_WAIT_MAX_MS, random)
    : answerWait(random)
  each.answer = {
    dueAt: Math.min(each.answer?.dueAt ?? Number.POSITIVE_INFINITY, now + waitMs),
    // Asked twice while an answer waits, it is answered whole: no list grows.
    questions: each.answer === null ? questions : [],
    from: packet.isTruncated && each.answer === null ? from.address : null,
  }
}

/** A node was seen. What it says of others' networks, or of this node itself, is passed over. */
function see(state: LanState, each: LinkState, sighting: Sighting, now: number, out: LanEffect[]): void {
  const { tag, ttlSeconds, port, ips } = sighting
  if (tag === state.ownTag) return
  each.heard.delete(tag)
  if (ttlSeconds === 0) return
  const lifeMs = Math.min(ttlSeconds, LAN_TTL_SECONDS) * SECOND_MS
  if (each.heard.size >= KNOWN_ANSWERS_MAX)
    for (const oldest of [...each.heard.keys()].slice(0, 1)) each.heard.delete(oldest)
  each.heard.set(tag, now + lifeMs / 2)
  const peer = state.tags.peerOf(tag)
  if (peer === undefined) return
  const addresses = ips
    .filter((ip) => !isLinkLocalV6(ip) && each.link.subnets.some((subnet) => inSubnet(ip, subnet)))
    .map((ip) => `${ipMultiaddr(ip)}/tcp/${port}`)
  if (addresses.length === 0) return
  const isNews = state.candidates.add(peer, addresses, now + lifeMs, now)
  if (!state.connected.has(peer) && state.candidates.takeDial(peer, isNews, now))
    out.push({ type: 'found', peer, link: each.link.id, addresses })
}

function withinRate(window: { second: number; count: number }, now: number, perSecond: number): boolean {
  const second = Math.floor(now / SECOND_MS)
  if (window.second !== second) Object.assign(window, { second, count: 0 })
  window.count++
  return window.count <= perSecond
}

function answerWait(random: () => number): number {
  return between(ANSWER_WAIT_MIN_MS, ANSWER_WAIT_MAX_MS, random)
}

function between(min: number, max: number, random: () => number): number {
  return min + random() * (max - min)
}

function isSameLink(a: LanLink, b: LanLink): boolean {
  return describeLink(a) === describeLink(b)
}

function describeLink({ subnets, endpoint }: LanLink): string {
  return JSON.stringify([
    subnets.map(({ network, prefixBits }) => [...network, prefixBits]),
    endpoint === null ? null : [endpoint.port, endpoint.ips.map((ip) => [...ip])],
  ])
}
