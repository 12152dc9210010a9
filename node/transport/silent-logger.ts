import type { ComponentLogger, Logger } from '@libp2p/interface'

/** A libp2p logger that says nothing, for transports used outside a libp2p node: every error is thrown to the caller anyway. */
export function silentLogger(): ComponentLogger {
  const log: Logger = Object.assign(() => undefined, {
    enabled: false,
    error: () => undefined,
    trace: () => undefined,
    newScope: () => log,
  })
  return { forComponent: () => log }
}
