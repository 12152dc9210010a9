import type { NamedMember } from '../../protocols/naming/directory.ts'

/** A member as the services see it. */
export interface ServiceMember extends NamedMember {
  readonly tags: readonly string[]
  readonly rttMs: number | null
  /** True for this node. */
  readonly self: boolean
}

/** The part of the membership the services work with. */
export interface MeshView {
  readonly domain: string
  readonly self: { readonly id: string; readonly name: string; readonly tags: readonly string[] }
  /** All members, this node included. */
  members(): readonly ServiceMember[]
  /** Called after every change of the table, until the signal aborts. */
  onChange(listener: () => void, signal: AbortSignal): void
}
