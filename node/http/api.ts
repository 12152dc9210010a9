import { Router } from '@koa/router'
import type { Context, Middleware } from 'koa'
import type { ZodType } from 'zod'
import type { ReasonTable } from '../../protocols/common/errors.ts'
import type { Control } from '../api/control.ts'
import { readJson } from './body.ts'
import { HttpError } from './errors.ts'
import { failureOf } from './failure.ts'
import { ndjson } from './ndjson.ts'
import { mayDo } from './permissions.ts'
import { EXPIRED_COOKIE, principalOf } from './principal.ts'
import { Lines } from './route.ts'
import type { Entrance, Principal, Route } from './route.ts'
import type { Sessions } from './sessions.ts'

/** What the API middleware stands on. `closing` aborts when the dashboard closes. */
export interface ApiParts {
  readonly control: Control
  readonly sessions: Sessions
  readonly reasons: ReasonTable
  readonly closing: AbortSignal
  readonly logError: (error: unknown) => void
}

const SOCKET_PRINCIPAL: Principal = { role: 'admin', session: undefined, writes: true }

/**
 * The REST routes as one middleware for one entrance. Order of checks: principal, route, entrance, permission, write
 * token, then params, query and body by their schemas. Nothing is answered to a stranger, not even which paths exist.
 */
export function apiMiddleware(routes: readonly Route[], entrance: Entrance, parts: ApiParts): Middleware {
  const router = new Router({ sensitive: true, strict: true })
  const seen = new Set<string>()
  for (const route of routes) {
    const name = `${route.method} ${route.path}`
    if (seen.has(name)) throw new Error(`route ${name} is registered twice`)
    seen.add(name)
    router.register(route.path, [route.method], (ctx) => serve(ctx, route, entrance, parts))
  }
  const dispatch = router.routes() as unknown as Middleware
  return async (ctx) => {
    const principal = entrance === 'unix' ? SOCKET_PRINCIPAL : principalOf(ctx.req, parts.sessions)
    if (!principal) throw new HttpError('auth-required')
    ctx.state['principal'] = principal
    ctx.set('Cache-Control', 'no-store')
    await dispatch(ctx, async () => {
      const others = router.match(ctx.path, ctx.method).path
      if (others.length === 0) throw new HttpError('not-found')
      ctx.set('Allow', [...new Set(others.flatMap((layer) => layer.methods))].join(', '))
      throw new HttpError('method-not-allowed')
    })
  }
}

async function serve(ctx: Context, route: Route, entrance: Entrance, parts: ApiParts): Promise<void> {
  const principal = ctx.state['principal'] as Principal
  if (!route.entrances.includes(entrance)) throw new HttpError('socket-only')
  if (!mayDo(principal.role, route.permission)) throw new HttpError('permission-denied')
  if (route.needsToken && !principal.writes) throw new HttpError('write-token-missing')
  const input = {
    params: check(route.params, ctx['params']),
    query: check(route.query, { ...ctx.query }),
    body: check(route.body, route.method === 'GET' ? {} : await readJson(ctx.req)),
  }
  const signal = requestSignal(ctx, principal, parts.closing)
  const acceptsLines = /\bapplication\/x-ndjson\b/.test(ctx.get('Accept'))
  const { control, sessions } = parts
  const answer = await route.handler(input, { control, sessions, principal, signal, acceptsLines })
  if (principal.session && !sessions.check(principal.session)) ctx.set('Set-Cookie', EXPIRED_COOKIE)
  if (!(answer instanceof Lines)) {
    // As text: Koa holds an object against `Response` first, with which Node loads undici, 3 MB a node.
    ctx.type = 'json'
    ctx.body = JSON.stringify(route.answer.parse(answer))
    return
  }
  ctx.type = 'application/x-ndjson'
  ctx.body = ndjson(answer.lines, {
    answer: route.answer,
    signal,
    stands: () => !principal.session || sessions.check(principal.session),
    failure(error) {
      const failure = failureOf(error, parts.reasons)
      if (failure.status === 500) parts.logError(error)
      return failure.body
    },
  })
  // A tail may stay silent for hours; the client must know at once that it has been accepted.
  ctx.flushHeaders()
}

/** Aborts when the client goes away, its session ends, or the dashboard closes. */
function requestSignal(ctx: Context, principal: Principal, closing: AbortSignal): AbortSignal {
  const gone = new AbortController()
  ctx.res.once('close', () => gone.abort())
  return AbortSignal.any([gone.signal, closing, ...(principal.session ? [principal.session.signal] : [])])
}

function check(schema: ZodType, value: unknown): unknown {
  const result = schema.safeParse(value)
  if (result.success) return result.data
  const [issue] = result.error.issues
  const field = issue?.path.join('.') ?? ''
  const text = issue?.message ?? 'invalid'
  throw new HttpError(
    'input-invalid',
    field === '' ? text : `${field}: ${text}`,
    field === '' ? {} : { field },
  )
}
