import { scopeOf } from '../../protocols/traversal/endpoint.ts'
import type { PortMappingCode } from './errors.ts'
import {
  BACKOFF_FIRST_MS,
  BACKOFF_MAX_MS,
  LEASE_MAX_MS,
  LEASE_MIN_MS,
  PORT_DRAWN_COUNT,
  PORT_DRAWN_MIN,
  PORT_TRIES_MAX,
  RETRY_MIN_MS,
} from './limits.ts'
import type {
  Grant,
  Mapping,
  MappingEffect,
  MappingEvent,
  MappingFailure,
  MappingMethod,
  MappingState,
} from './mapping-state.ts'
import { MAPPING_METHODS } from './mapping-state.ts'

/** More telling ones first: a later protocol's silence does not hide that an earlier one was refused. */
const TELLING: readonly MappingFailure[] = [
  'nat-carrier',
  'nat-double',
  'mapping-no-address',
  'mapping-conflict',
  'mapping-refused',
  'mapping-malformed',
  'mapping-lost',
  'mapping-none',
  'mapping-no-gateway',
]

/** One question or removal is out at a time, so the router never holds two mappings of ours. `random` in [0, 1), `now` in ms. */
export function step(
  state: MappingState,
  event: MappingEvent,
  now: number,
  random: () => number,
): MappingEffect[] {
  const { phase } = state
  switch (event.type) {
    case 'start':
      return phase.name === 'idle' ? round(state, now, random) : []
    case 'wake':
      return wake(state, now, random)
    case 'network-changed':
      return moved(state, now, random)
    case 'granted':
      return phase.name === 'asking' && phase.id === event.id ? granted(state, event.grant, now) : []
    case 'failed':
      return phase.name === 'asking' && phase.id === event.id ? failed(state, event.code, now, random) : []
    case 'removed':
      if (phase.name !== 'removing' || phase.id !== event.id) return []
      if (phase.after === 'round') return round(state, now, random)
      if (phase.after === 'next') return next(state, now, random)
      if (phase.after === 'waiting') return pause(state, now, random)
      state.phase = { name: 'stopped' }
      return [{ type: 'stopped' }]
    case 'stop':
      return stop(state)
  }
}

function wake(state: MappingState, now: number, random: () => number): MappingEffect[] {
  const { phase, mapping } = state
  if (phase.name !== 'mapped' && phase.name !== 'waiting') return []
  if (now < phase.dueAt) return [{ type: 'wake', at: phase.dueAt }]
  if (phase.name === 'waiting' || mapping === null) return round(state, now, random)
  if (now >= mapping.expiresAt) return lost(state, 'mapping-lost', now, random, false)
  return ask(state, mapping.method, mapping.externalPort)
}

function moved(state: MappingState, now: number, random: () => number): MappingEffect[] {
  const { phase, mapping } = state
  if (phase.name === 'waiting') {
    state.failures = 0
    return round(state, now, random)
  }
  if (phase.name === 'removing' && phase.after !== 'stopped') state.phase = { ...phase, after: 'round' }
  if (phase.name === 'asking' || phase.name === 'mapped') state.isMoved = true
  return phase.name === 'mapped' && mapping !== null ? ask(state, mapping.method, mapping.externalPort) : []
}

/** All protocols from the first one; the router may be another than last time. */
function round(state: MappingState, now: number, random: () => number): MappingEffect[] {
  state.left = [...MAPPING_METHODS]
  state.portTries = 0
  state.failure = null
  state.isMoved = false
  return next(state, now, random)
}

function next(state: MappingState, now: number, random: () => number): MappingEffect[] {
  const method = state.left.shift()
  return method === undefined ? pause(state, now, random) : ask(state, method, state.port)
}

function ask(state: MappingState, method: MappingMethod, externalPort: number): MappingEffect[] {
  const id = ++state.lastId
  state.phase = { name: 'asking', id, method, externalPort }
  return [{ type: 'ask', id, method, externalPort }]
}

function remove(
  state: MappingState,
  { method, externalPort }: { readonly method: MappingMethod; readonly externalPort: number },
  after: 'stopped' | 'waiting' | 'round' | 'next',
): MappingEffect[] {
  const id = ++state.lastId
  state.phase = { name: 'removing', id, after }
  return [{ type: 'remove', id, method, externalPort }]
}

function granted(state: MappingState, grant: Grant, now: number): MappingEffect[] {
  const { phase, mapping: before } = state
  if (phase.name !== 'asking') return []
  const { method } = phase
  const useless = uselessness(grant)
  if (useless !== null) {
    state.mapping = null
    fail(state, useless, now)
    // Another protocol would say the same of the same router.
    state.left = []
    const removed = remove(state, { method, externalPort: grant.externalPort }, 'waiting')
    return before === null ? removed : [{ type: 'changed', mapping: null }, ...removed]
  }
  const leaseMs = Math.min(grant.leaseMs, LEASE_MAX_MS)
  const mapping = { ...grant, leaseMs, method, confirmedAt: now, expiresAt: now + leaseMs }
  const dueAt = state.isMoved ? now : now + Math.min(state.checkMs, leaseMs / 2)
  state.mapping = mapping
  state.failure = null
  state.failures = 0
  state.portTries = 0
  state.isMoved = false
  state.phase = { name: 'mapped', dueAt }
  const effects: MappingEffect[] = [{ type: 'wake', at: dueAt }]
  if (before === null || !isSameEndpoint(before, mapping)) effects.unshift({ type: 'changed', mapping })
  if (before !== null && isRestarted(before, mapping))
    effects.unshift({ type: 'report', code: 'mapping-router-restarted' })
  return effects
}

/** Why a grant is of no use, null when it is. */
function uselessness({ externalAddress, externalPort, leaseMs }: Grant): MappingFailure | null {
  const scope = scopeOf(externalAddress)
  if (scope === 'private') return 'nat-double'
  if (scope === 'shared') return 'nat-carrier'
  if (externalAddress.every((byte) => byte === 0)) return 'mapping-no-address'
  return scope !== 'public' || externalPort < 1 || externalPort > 65_535 || leaseMs < LEASE_MIN_MS
    ? 'mapping-refused'
    : null
}

function isSameEndpoint(one: Mapping, other: Mapping): boolean {
  const { externalAddress: address } = other
  return (
    one.method === other.method &&
    one.externalPort === other.externalPort &&
    one.externalAddress.length === address.length &&
    one.externalAddress.every((byte, i) => byte === address[i])
  )
}

/** Whether the router's count shows a restart: it lags by more than an eighth and two seconds (RFC 6886 §3.6). */
function isRestarted(before: Mapping, mapping: Mapping): boolean {
  if (before.epochS === null || mapping.epochS === null) return false
  const passedS = (mapping.confirmedAt - before.confirmedAt) / 1000
  return mapping.epochS + 2 < before.epochS + passedS * (7 / 8)
}

function failed(
  state: MappingState,
  code: PortMappingCode,
  now: number,
  random: () => number,
): MappingEffect[] {
  const { phase, mapping } = state
  if (phase.name !== 'asking') return []
  if (code === 'mapping-conflict' && state.portTries < PORT_TRIES_MAX) {
    state.portTries++
    return ask(state, phase.method, PORT_DRAWN_MIN + Math.floor(random() * PORT_DRAWN_COUNT))
  }
  if (mapping !== null) {
    const isSilent = code === 'mapping-none' || code === 'mapping-no-gateway'
    // Also after a move: it may have been none, and this host's own port is all that is taken back.
    if (state.isMoved || !isSilent) return lost(state, code, now, random, true)
    // Only silent: perhaps it is starting again. The mapping may still hold.
    if (now >= mapping.expiresAt) return lost(state, code, now, random, false)
    const retryMs = Math.max(RETRY_MIN_MS, Math.min(state.checkMs, (mapping.expiresAt - now) / 2))
    const dueAt = Math.min(mapping.expiresAt, now + retryMs)
    state.phase = { name: 'mapped', dueAt }
    return [{ type: 'wake', at: dueAt }]
  }
  if (state.isMoved) {
    state.failures = 0
    return round(state, now, random)
  }
  fail(state, code, now)
  // Its answer may have got lost; the wanted port would be asked for again, another one would stay open.
  if (phase.externalPort !== state.port) return remove(state, phase, 'next')
  return next(state, now, random)
}

/**
 * The mapping is no more, and everything begins anew; `isHeld`: the router may still have it. One of another port than is asked
 * for next it may have even after its time: answers to renewals got lost, or it keeps more than it was believed.
 */
function lost(
  state: MappingState,
  code: MappingFailure,
  now: number,
  random: () => number,
  isHeld: boolean,
): MappingEffect[] {
  const { mapping } = state
  if (mapping === null) throw new Error('a mapping that is lost was there')
  state.mapping = null
  const begun =
    isHeld || mapping.externalPort !== state.port
      ? remove(state, mapping, 'round')
      : round(state, now, random)
  return [
    { type: 'report', code: code === 'mapping-none' ? 'mapping-lost' : code },
    { type: 'changed', mapping: null },
    ...begun,
  ]
}

function fail(state: MappingState, code: MappingFailure, now: number): void {
  const known = state.failure
  if (known === null || TELLING.indexOf(code) < TELLING.indexOf(known.code)) state.failure = { code, at: now }
}

/** Exponential, half of it by chance. Behind two NATs the longest pause comes at once: only a change of the network helps. */
function pause(state: MappingState, now: number, random: () => number): MappingEffect[] {
  const code = state.failure?.code ?? 'mapping-none'
  const isNested = code === 'nat-double' || code === 'nat-carrier'
  const bound = isNested ? BACKOFF_MAX_MS : Math.min(BACKOFF_MAX_MS, BACKOFF_FIRST_MS * 2 ** state.failures)
  state.failures = Math.min(state.failures + 1, 30)
  const dueAt = now + bound / 2 + (random() * bound) / 2
  state.phase = { name: 'waiting', dueAt }
  return [
    { type: 'report', code },
    { type: 'wake', at: dueAt },
  ]
}

function stop(state: MappingState): MappingEffect[] {
  const { phase, mapping } = state
  if (phase.name === 'stopped') return []
  if (phase.name === 'removing') {
    state.phase = { ...phase, after: 'stopped' }
    return []
  }
  state.mapping = null
  const gone: MappingEffect[] = mapping === null ? [] : [{ type: 'changed', mapping: null }]
  // A question that is out may have been granted already: what it asked for is taken back.
  if (phase.name === 'asking')
    return [...gone, { type: 'cancel', id: phase.id }, ...remove(state, mapping ?? phase, 'stopped')]
  if (mapping !== null) return [...gone, ...remove(state, mapping, 'stopped')]
  state.phase = { name: 'stopped' }
  return [...gone, { type: 'stopped' }]
}
