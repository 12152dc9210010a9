import { z } from 'zod'
import type { Control } from '../api/control.ts'
import type { AccessRole } from '../api/schemas.ts'
import { PERMISSIONS } from './permissions.ts'
import type { Permission } from './permissions.ts'
import type { Session, Sessions } from './sessions.ts'

/** Which listener a request came in by. */
export type Entrance = 'tcp' | 'unix'

/** Who asks: the role, and the session when it came by TCP (the unix socket has none; its file mode is the check). */
export interface Principal {
  readonly role: AccessRole
  readonly session: Session | undefined
  /** True when the request proved to come from a tab that logged in (or from the unix socket). */
  readonly writes: boolean
}

/** What a handler works with. `signal` aborts when the client goes away, its session ends or the dashboard closes. */
export interface RouteEnvironment {
  readonly control: Control
  readonly sessions: Sessions
  readonly principal: Principal
  readonly signal: AbortSignal
  /** True when the client asked for one document a line (`Accept: application/x-ndjson`). */
  readonly acceptsLines: boolean
}

/** The checked parts of a request. */
export interface RouteInput<P, Q, B> {
  readonly params: P
  readonly query: Q
  readonly body: B
}

/** Body of an answer: one document, or one document a line for as long as the iterable gives any. */
export type RouteAnswer<A> = A | Lines<A>

/** Marks a streamed answer (`application/x-ndjson`). */
export class Lines<A> {
  readonly lines: AsyncIterable<A>
  constructor(lines: AsyncIterable<A>) {
    this.lines = lines
  }
}

/** A route as its author writes it. */
export interface RouteSpec<
  P extends z.ZodType,
  Q extends z.ZodType,
  B extends z.ZodType,
  A extends z.ZodType,
> {
  readonly method: 'GET' | 'POST' | 'DELETE'
  /** Such as `/api/v1/services/:name`. */
  readonly path: string
  readonly permission: Permission
  readonly params?: P
  readonly query?: Q
  readonly body?: B
  /** Schema of the answer, of one line for a stream. Keys it does not name never leave the node. */
  readonly answer: A
  /** Listeners that serve it; both when absent. */
  readonly entrances?: readonly Entrance[]
  /** False for the one write a tab without a write token may do: logging out. */
  readonly writeToken?: false
  handler(
    this: void,
    input: RouteInput<z.output<P>, z.output<Q>, z.output<B>>,
    environment: RouteEnvironment,
  ): Promise<RouteAnswer<z.input<A>>> | RouteAnswer<z.input<A>>
}

/** A registered route, its types erased. */
export interface Route {
  readonly method: 'GET' | 'POST' | 'DELETE'
  readonly path: string
  readonly permission: Permission
  readonly params: z.ZodType
  readonly query: z.ZodType
  readonly body: z.ZodType
  readonly answer: z.ZodType
  readonly entrances: readonly Entrance[]
  readonly needsToken: boolean
  readonly handler: (input: RouteInput<unknown, unknown, unknown>, environment: RouteEnvironment) => unknown
}

const NOTHING = z.strictObject({})

/**
 * Declares a route. Deny by default: what has no permission, no schema for its answer, or parameters without a schema
 * does not register (CVE-2026-44848, CVE-2026-32230: one unlisted route was enough).
 * @throws Error for such a declaration; it is our bug and stops the start.
 */
export function defineRoute<
  P extends z.ZodType = typeof NOTHING,
  Q extends z.ZodType = typeof NOTHING,
  B extends z.ZodType = typeof NOTHING,
  A extends z.ZodType = z.ZodType,
>(spec: RouteSpec<P, Q, B, A>): Route {
  const name = `${spec.method} ${spec.path}`
  if (!spec.path?.startsWith('/api/v1/')) throw new Error(`route ${name}: path must start with /api/v1/`)
  if (!Object.hasOwn(PERMISSIONS, spec.permission ?? '')) throw new Error(`route ${name}: no such permission`)
  for (const key of ['answer', 'params', 'query', 'body'] as const) {
    const schema: unknown = spec[key]
    if (schema !== undefined && !(schema instanceof z.ZodType))
      throw new Error(`route ${name}: ${key} is no zod schema`)
  }
  if (spec.answer === undefined) throw new Error(`route ${name}: no schema for the answer`)
  if (spec.path.includes('/:') !== (spec.params !== undefined))
    throw new Error(`route ${name}: params and path differ`)
  return {
    method: spec.method,
    path: spec.path,
    permission: spec.permission,
    params: spec.params ?? NOTHING,
    query: spec.query ?? NOTHING,
    body: spec.body ?? NOTHING,
    answer: spec.answer,
    entrances: spec.entrances ?? ['tcp', 'unix'],
    needsToken: spec.method !== 'GET' && spec.writeToken !== false,
    handler: spec.handler as Route['handler'],
  }
}
