import { z } from 'zod'
import { SessionRowSchema, SessionSchema } from '../../api/schemas.ts'
import { HttpError } from '../errors.ts'
import { defineRoute } from '../route.ts'

/** The caller's session, and all of them for an admin. */
export const sessionRoutes = [
  defineRoute({
    method: 'GET',
    path: '/api/v1/session',
    permission: 'session.own',
    answer: SessionSchema,
    handler: (_input, { principal, sessions }) => ({
      role: principal.role,
      writes: principal.writes,
      expires: principal.session ? sessions.expires(principal.session) : null,
    }),
  }),
  defineRoute({
    method: 'POST',
    path: '/api/v1/logout',
    permission: 'session.own',
    writeToken: false,
    answer: z.strictObject({}),
    handler(_input, { principal, sessions }) {
      if (principal.session) sessions.end(principal.session.id)
      return {}
    },
  }),
  defineRoute({
    method: 'GET',
    path: '/api/v1/sessions',
    permission: 'sessions.admin',
    answer: z.array(SessionRowSchema),
    handler: (_input, { principal, sessions }) => sessions.list(principal.session),
  }),
  defineRoute({
    method: 'DELETE',
    path: '/api/v1/sessions/:id',
    permission: 'sessions.admin',
    params: z.strictObject({ id: z.string().regex(/^[0-9a-f]{12}$/) }),
    answer: z.strictObject({}),
    handler({ params }, { sessions }) {
      if (!sessions.endListed(params.id)) throw new HttpError('not-found', `No session ${params.id}.`)
      return {}
    },
  }),
]
