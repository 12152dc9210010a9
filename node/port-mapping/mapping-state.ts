import type { PortMappingCode } from './errors.ts'
import { CHECK_MS } from './limits.ts'

/** How a router is asked, in the order it is tried. */
export const MAPPING_METHODS = ['pcp', 'nat-pmp', 'upnp'] as const
export type MappingMethod = (typeof MAPPING_METHODS)[number]

/** Why there is no mapping; the two last: there is one, but it leads only to another NAT. */
export type MappingFailure = PortMappingCode | 'nat-double' | 'nat-carrier'

/** What a router grants. */
export interface Grant {
  /** The router's address on its other side. */
  readonly externalAddress: Uint8Array
  readonly externalPort: number
  readonly leaseMs: number
  /** Seconds since the router's mappings began to exist; null where the protocol does not say. */
  readonly epochS: number | null
}

/** A port of the router that leads to ours. Times in ms. */
export interface Mapping extends Grant {
  readonly method: MappingMethod
  /** When the router last confirmed it. */
  readonly confirmedAt: number
  readonly expiresAt: number
}

/** What is under way. `after`: what follows once a mapping has been taken back. */
export type Phase =
  | { readonly name: 'idle' | 'stopped' }
  | {
      readonly name: 'asking'
      readonly id: number
      readonly method: MappingMethod
      readonly externalPort: number
    }
  | { readonly name: 'mapped' | 'waiting'; readonly dueAt: number }
  | {
      readonly name: 'removing'
      readonly id: number
      readonly after: 'stopped' | 'waiting' | 'round' | 'next'
    }

/** One port and its mapping. Only `step` changes it. */
export interface MappingState {
  readonly port: number
  readonly checkMs: number
  phase: Phase
  mapping: Mapping | null
  /** Protocols of this round not tried yet. */
  left: MappingMethod[]
  portTries: number
  /** Of this round, or of the last one that ended without a mapping. */
  failure: { readonly code: MappingFailure; readonly at: number } | null
  /** Rounds without a mapping in a row. */
  failures: number
  /** The network changed while a question was out. */
  isMoved: boolean
  lastId: number
}

export type MappingEvent =
  | { readonly type: 'start' | 'wake' | 'network-changed' | 'stop' }
  | { readonly type: 'granted'; readonly id: number; readonly grant: Grant }
  | { readonly type: 'failed'; readonly id: number; readonly code: PortMappingCode }
  | { readonly type: 'removed'; readonly id: number }

export type MappingEffect =
  /** Ask the router, and answer with `granted` or `failed` once. */
  | {
      readonly type: 'ask'
      readonly id: number
      readonly method: MappingMethod
      readonly externalPort: number
    }
  /** The answer is no longer wanted. */
  | { readonly type: 'cancel'; readonly id: number }
  /** Take it back, and answer with `removed` whatever came of it. */
  | {
      readonly type: 'remove'
      readonly id: number
      readonly method: MappingMethod
      readonly externalPort: number
    }
  | { readonly type: 'wake'; readonly at: number }
  /** Another outside endpoint than before, or none. */
  | { readonly type: 'changed'; readonly mapping: Mapping | null }
  /** Something an operator may want to know. */
  | { readonly type: 'report'; readonly code: MappingFailure }
  | { readonly type: 'stopped' }

/** A machine for the mesh's port that has not been started. `checkMs`: how often the router is asked whether it still knows. */
export function createMapping(port: number, checkMs = CHECK_MS): MappingState {
  return {
    port,
    checkMs,
    phase: { name: 'idle' },
    mapping: null,
    left: [],
    portTries: 0,
    failure: null,
    failures: 0,
    isMoved: false,
    lastId: 0,
  }
}
