import type { Route } from '../route.ts'
import { diagnosticRoutes } from './diagnostics.ts'
import { eventRoutes } from './events.ts'
import { memberRoutes } from './members.ts'
import { nodeRoutes } from './node.ts'
import { peerRoutes } from './peers.ts'
import { serviceRoutes } from './services.ts'
import { sessionRoutes } from './sessions.ts'

/** Every route there is. What is not in this list does not exist. */
export const ROUTES: readonly Route[] = [
  ...nodeRoutes,
  ...peerRoutes,
  ...memberRoutes,
  ...serviceRoutes,
  ...eventRoutes,
  ...sessionRoutes,
  ...diagnosticRoutes,
]
