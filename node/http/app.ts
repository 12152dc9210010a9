import Koa from 'koa'
import type { Context, Middleware } from 'koa'
import helmet from 'koa-helmet'
import { apiMiddleware } from './api.ts'
import type { ApiParts } from './api.ts'
import type { Asset, Assets } from './assets.ts'
import type { Denials } from './denials.ts'
import { HttpError } from './errors.ts'
import { failureOf } from './failure.ts'
import { guard } from './guard.ts'
import type { Site } from './guard.ts'
import type { LoginLinks } from './login-links.ts'
import { PLAIN_CSS, plainPage } from './pages.ts'
import { sessionCookie } from './principal.ts'
import { ROUTES } from './routes/index.ts'

/** What the browser's application needs besides the API. `site` is read per request: the port is known after listening. */
export interface BrowserParts extends ApiParts {
  readonly site: () => Site
  readonly links: LoginLinks
  readonly denials: Denials
  readonly assets: () => Assets | undefined
}

/** The application on TCP: every request, static files and errors included, passes the guard and gets the headers. */
export function browserApp(parts: BrowserParts): Koa {
  const app = bareApp(parts)
  const api = apiMiddleware(ROUTES, 'tcp', parts)
  app.use(async (ctx, next) => {
    try {
      await next()
    } catch (error) {
      if (error instanceof HttpError) parts.denials.record(error.code, ctx.req)
      throw error
    }
  })
  app.use(async (ctx, next) => {
    guard(ctx.req, parts.site())
    await next()
  })
  app.use(async (ctx, next) => {
    if (ctx.path.startsWith('/api/')) return api(ctx, next)
    if (ctx.method !== 'GET' && ctx.method !== 'HEAD') throw new HttpError('method-not-allowed')
    if (ctx.path === '/login') return login(ctx, parts)
    serveStatic(ctx, parts.assets())
  })
  return app
}

/** The application on the unix socket: who may open the file is admin, so only routes, permissions and schemas remain. */
export function socketApp(parts: ApiParts): Koa {
  const app = bareApp(parts)
  app.use(apiMiddleware(ROUTES, 'unix', parts))
  return app
}

function bareApp(parts: ApiParts): Koa {
  const app = new Koa()
  app.silent = true
  app.on('error', (error: NodeJS.ErrnoException) => {
    // The client left in the middle of a stream; that is how those end.
    if (
      error.code !== 'ERR_STREAM_PREMATURE_CLOSE' &&
      error.code !== 'ECONNRESET' &&
      error.code !== 'EPIPE'
    ) {
      parts.logError(error)
    }
  })
  app.use(securityHeaders())
  app.use(async (ctx, next) => {
    try {
      await next()
    } catch (error) {
      answerError(ctx, error, parts)
    }
  })
  return app
}

function securityHeaders(): Middleware {
  return helmet({
    contentSecurityPolicy: {
      useDefaults: false,
      directives: {
        defaultSrc: ["'none'"],
        scriptSrc: ["'self'"],
        styleSrc: ["'self'"],
        imgSrc: ["'self'", 'data:'],
        connectSrc: ["'self'"],
        baseUri: ["'none'"],
        formAction: ["'none'"],
        frameAncestors: ["'none'"],
        requireTrustedTypesFor: ["'script'"],
        trustedTypes: ["'none'"],
      },
    },
    referrerPolicy: { policy: 'no-referrer' },
    frameguard: { action: 'deny' },
    // There is no TLS on this loopback name, and there must be none of our making on its other ports.
    strictTransportSecurity: false,
  })
}

function answerError(ctx: Context, error: unknown, parts: ApiParts): void {
  const { status, body } = failureOf(error, parts.reasons)
  if (status === 500) parts.logError(error)
  ctx.status = status
  ctx.set('Cache-Control', 'no-store')
  // What is left of a refused body is not worth reading.
  if (!ctx.req.complete) ctx.set('Connection', 'close')
  if (ctx.path.startsWith('/api/') || !ctx.get('Accept').includes('text/html')) {
    ctx.body = body
    return
  }
  ctx.type = 'html'
  const { code, message, fix } = body.error
  const link =
    code === 'login-link-spent'
      ? { href: '/', text: 'Open the dashboard if you are still logged in' }
      : undefined
  ctx.body = plainPage(
    code === 'login-link-spent' ? 'This login link is spent' : `Refused: ${code}`,
    [message, fix],
    link,
  )
}

/**
 * Redeems a one-time link. The write token travels in the fragment, which no server, log or Referer ever sees; the tab
 * moves it to sessionStorage and takes it out of the address at once.
 */
function login(ctx: Context, parts: BrowserParts): void {
  // HEAD and speculative loads must not spend the link.
  if (ctx.method !== 'GET') throw new HttpError('method-not-allowed')
  if (ctx.get('Sec-Purpose') !== '') throw new HttpError('origin-denied')
  ctx.set('Cache-Control', 'no-store')
  const { code } = ctx.query
  const role = typeof code === 'string' ? parts.links.redeem(code) : undefined
  if (!role) throw new HttpError('login-link-spent')
  const { secret, token } = parts.sessions.create(role)
  ctx.set('Set-Cookie', sessionCookie(secret))
  ctx.status = 303
  ctx.set('Location', `/#token=${token}`)
  ctx.body = ''
}

function serveStatic(ctx: Context, assets: Assets | undefined): void {
  if (ctx.path === '/plain.css') {
    ctx.type = 'css'
    ctx.set('Cache-Control', 'no-cache')
    ctx.body = PLAIN_CSS
    return
  }
  // A screen of the dashboard: its path has no dot and no escapes.
  const isScreen = /^\/[a-z/-]*$/.test(ctx.path) && !ctx.path.startsWith('/assets/')
  if (!assets && isScreen) {
    ctx.status = 503
    ctx.type = 'html'
    ctx.set('Cache-Control', 'no-store')
    ctx.body = plainPage('The dashboard has not been built', [
      'Run `npm run build` in the checkout, then start the node again.',
    ])
    return
  }
  const asset = assets?.get(isScreen ? '/index.html' : ctx.path)
  if (!asset) throw new HttpError('not-found')
  sendAsset(ctx, asset)
}

function sendAsset(ctx: Context, asset: Asset): void {
  ctx.set('Cache-Control', asset.cacheControl)
  ctx.set('ETag', asset.etag)
  ctx.vary('Accept-Encoding')
  ctx.type = asset.type
  ctx.status = 200
  if (ctx.fresh) {
    ctx.status = 304
    return
  }
  const gzipped = asset.gzipped !== undefined && ctx.acceptsEncodings('gzip', 'identity') === 'gzip'
  if (gzipped) ctx.set('Content-Encoding', 'gzip')
  ctx.body = gzipped ? asset.gzipped : asset.bytes
}
