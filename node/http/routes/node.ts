import { z } from 'zod'
import { NetcheckQuerySchema, NetcheckSchema } from '../../api/path-schemas.ts'
import {
  ConfigEntrySchema,
  FoundInputSchema,
  InviteInputSchema,
  InviteSchema,
  JoinInputSchema,
  LoginLinkSchema,
  StatusSchema,
  WhySchema,
} from '../../api/schemas.ts'
import { defineRoute } from '../route.ts'

/** The node itself: status, configuration, founding, joining and letting others in. */
export const nodeRoutes = [
  defineRoute({
    method: 'GET',
    path: '/api/v1/status',
    permission: 'status.read',
    answer: StatusSchema,
    handler: (_input, { control }) => control.status(),
  }),
  defineRoute({
    method: 'GET',
    path: '/api/v1/config',
    permission: 'config.read',
    answer: z.array(ConfigEntrySchema),
    handler: (_input, { control }) => control.config(),
  }),
  defineRoute({
    method: 'GET',
    path: '/api/v1/why/:subject',
    permission: 'why.read',
    params: z.strictObject({ subject: z.string().min(1).max(253) }),
    answer: WhySchema,
    handler: ({ params }, { control }) => control.why(params.subject),
  }),
  defineRoute({
    method: 'GET',
    path: '/api/v1/netcheck',
    permission: 'network.read',
    query: NetcheckQuerySchema,
    answer: NetcheckSchema,
    handler: ({ query }, { control }) => control.netcheck({ measure: query.measure !== undefined }),
  }),
  defineRoute({
    method: 'POST',
    path: '/api/v1/found',
    permission: 'mesh.write',
    body: FoundInputSchema,
    answer: StatusSchema,
    handler: ({ body }, { control }) => control.found(body),
  }),
  defineRoute({
    method: 'POST',
    path: '/api/v1/join',
    permission: 'mesh.write',
    body: JoinInputSchema,
    answer: StatusSchema,
    handler: ({ body }, { control }) => control.join(body),
  }),
  defineRoute({
    method: 'POST',
    path: '/api/v1/invites',
    permission: 'invites.write',
    body: InviteInputSchema,
    answer: InviteSchema,
    handler: ({ body }, { control }) => control.invite(body),
  }),
  defineRoute({
    method: 'POST',
    path: '/api/v1/login-links',
    permission: 'login-links.write',
    // A stolen session must not be able to make itself immortal.
    entrances: ['unix'],
    answer: LoginLinkSchema,
    handler: (_input, { control }) => control.loginLink(),
  }),
]
