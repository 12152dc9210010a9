import { z } from 'zod'
import {
  AddAuthorityInputSchema,
  ApprovedSchema,
  ApproveInputSchema,
  AuthorityRowSchema,
  MemberRowSchema,
  RetireAuthorityInputSchema,
  RevokedSchema,
  RevokeInputSchema,
  RootActSchema,
  SignedActInputSchema,
} from '../../api/schemas.ts'
import { defineRoute } from '../route.ts'

/** Who belongs to the mesh: listed, revoked, let in. */
export const memberRoutes = [
  defineRoute({
    method: 'GET',
    path: '/api/v1/members',
    permission: 'members.read',
    answer: z.array(MemberRowSchema),
    handler: (_input, { control }) => control.members(),
  }),
  defineRoute({
    method: 'POST',
    path: '/api/v1/revocations',
    permission: 'members.write',
    body: RevokeInputSchema,
    answer: RevokedSchema,
    handler: ({ body }, { control }) => control.revoke(body),
  }),
  defineRoute({
    method: 'POST',
    path: '/api/v1/approvals',
    permission: 'members.write',
    body: ApproveInputSchema,
    answer: ApprovedSchema,
    handler: ({ body }, { control }) => control.approve(body),
  }),
  defineRoute({
    method: 'GET',
    path: '/api/v1/authorities',
    permission: 'members.read',
    answer: z.array(AuthorityRowSchema),
    handler: (_input, { control }) => control.authorities(),
  }),
  defineRoute({
    method: 'POST',
    path: '/api/v1/authorities',
    permission: 'authorities.write',
    body: AddAuthorityInputSchema,
    answer: RootActSchema,
    // The root key is the mesh: a stolen dashboard session must not reach it.
    entrances: ['unix'],
    handler: ({ body }, { control }) => control.addAuthority(body),
  }),
  defineRoute({
    method: 'POST',
    path: '/api/v1/authorities/retire',
    permission: 'authorities.write',
    body: RetireAuthorityInputSchema,
    answer: RootActSchema,
    entrances: ['unix'],
    handler: ({ body }, { control }) => control.retireAuthority(body),
  }),
  defineRoute({
    method: 'POST',
    path: '/api/v1/authorities/signed',
    permission: 'authorities.write',
    body: SignedActInputSchema,
    answer: RootActSchema,
    entrances: ['unix'],
    handler: ({ body }, { control }) => control.signedAct(body),
  }),
]
