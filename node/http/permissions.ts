import type { AccessRole } from '../api/schemas.ts'

/** Anyone who passes the guard, with no session at all. No route may use it; static files and the login page do. */
const ALL = ['viewer', 'operator', 'admin'] as const
const OPERATORS = ['operator', 'admin'] as const
const ADMINS = ['admin'] as const

/** Which roles hold which permission: the whole of the dashboard's authorisation. */
export const PERMISSIONS = {
  'session.own': ALL,
  'status.read': ALL,
  'peers.read': ALL,
  'members.read': ALL,
  'services.read': ALL,
  'events.read': ALL,
  'why.read': ALL,
  'network.read': ALL,
  'config.read': OPERATORS,
  'services.write': OPERATORS,
  'peers.ping': OPERATORS,
  'peers.rotate': OPERATORS,
  'forwards.write': OPERATORS,
  'diagnostics.read': ADMINS,
  'mesh.write': ADMINS,
  'invites.write': ADMINS,
  'members.write': ADMINS,
  'authorities.write': ADMINS,
  'login-links.write': ADMINS,
  'sessions.admin': ADMINS,
} as const satisfies Record<string, readonly AccessRole[]>

/** A key of the table. */
export type Permission = keyof typeof PERMISSIONS

/** Whether `role` holds `permission`; false for a permission that does not exist. */
export function mayDo(role: AccessRole, permission: Permission): boolean {
  return (
    Object.hasOwn(PERMISSIONS, permission) &&
    (PERMISSIONS[permission] as readonly AccessRole[]).includes(role)
  )
}
