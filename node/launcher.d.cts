/** Flags of the runtime a node is started with. */
export const RUNTIME_FLAGS: readonly string[]
/** Its environment, below what the user has set. */
export const RUNTIME_ENVIRONMENT: Readonly<Record<string, string>>
