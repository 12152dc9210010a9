/** Flags of the runtime a node is started with. */
export const RUNTIME_FLAGS: readonly string[]
