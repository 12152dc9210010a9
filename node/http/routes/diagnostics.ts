import { BugreportQuerySchema, BugreportSchema } from '../../api/schemas.ts'
import { defineRoute } from '../route.ts'

/** What a developer needs to find a fault. */
export const diagnosticRoutes = [
  defineRoute({
    method: 'GET',
    path: '/api/v1/bugreport',
    permission: 'diagnostics.read',
    // It says more of a mesh at once than any page: only who may read this node's files gets it.
    entrances: ['unix'],
    query: BugreportQuerySchema,
    answer: BugreportSchema,
    handler: ({ query }, { control }) => control.bugreport({ names: query.names === '1' }),
  }),
]
