import type { KithError } from '../protocols/common/errors.ts'
import type { EmitEvent, Signer } from '../protocols/common/ports.ts'
import type { Control } from './api/control.ts'
import type { ConfigEntry } from './api/schemas.ts'
import type { RunningMesh } from './compose-mesh.ts'
import type { EventLog } from './log/event-log.ts'

/** The node behind the facade. */
export interface ControlledNode {
  readonly nodeId: string
  readonly nodeName: string
  readonly startedAt: number
  readonly localLabel: string
  readonly events: EventLog
  readonly emit: EmitEvent
  readonly configEntries: readonly ConfigEntry[]
  /** Undefined while in no mesh. */
  mesh(): RunningMesh | undefined
  isJoining(): boolean
  /** Why the mesh on the disk could not be entered, if it could not. */
  lapsed(): KithError | undefined
  /** Why the join under way waits for a person, if it does. */
  waiting(): string | undefined
  /** This node's own key. */
  signer(): Signer
  hasRootKey(): boolean
  /** The mesh's root key, null where it is not on this machine. */
  rootSigner(): Promise<Signer | null>
  found(name: string): Promise<void>
  join(invite: string): Promise<void>
  loginLink: Control['loginLink']
  uiUrl(): string | null
}
