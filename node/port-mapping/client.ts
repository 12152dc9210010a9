import type { Grant, MappingMethod } from './mapping-state.ts'

/** A request for a TCP port. */
export interface PortRequest {
  /** Address of the default gateway: the only host that is spoken to. */
  readonly gateway: string
  /** Port of this host. */
  readonly port: number
  /** Wanted outside; the router may give another. */
  readonly externalPort: number
}

/** One protocol routers are asked in. */
export interface MappingClient {
  readonly method: MappingMethod
  /** Maps the port, or confirms its mapping. @throws PortMappingError; any error once `signal` is aborted. */
  map(request: PortRequest, signal: AbortSignal): Promise<Grant>
  /** Takes the mapping back; one that is not there is no failure. @throws PortMappingError; any error once `signal` is aborted. */
  unmap(request: PortRequest, signal: AbortSignal): Promise<void>
}
