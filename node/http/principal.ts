import type { IncomingMessage } from 'node:http'
import type { Principal } from './route.ts'
import type { Sessions } from './sessions.ts'

/** The `__Host-` prefix makes browsers insist on Secure, on Path=/ and on no Domain: no other name can plant it. */
const COOKIE = '__Host-kith'
/** Second layer for writes: cookies are shared by all ports of a name, this header's value by none (it lives in sessionStorage). */
const TOKEN_HEADER = 'x-kith-token'

/** `Set-Cookie` value that carries a session's secret; without Max-Age, so it goes with the browser. */
export function sessionCookie(secret: string): string {
  return `${COOKIE}=${secret}; Path=/; Secure; HttpOnly; SameSite=Strict`
}

/** `Set-Cookie` value that removes it. */
export const EXPIRED_COOKIE = `${COOKIE}=; Path=/; Secure; HttpOnly; SameSite=Strict; Max-Age=0`

/** Who sent a TCP request; undefined without a session that stands. */
export function principalOf(request: IncomingMessage, sessions: Sessions): Principal | undefined {
  const secret = cookieOf(request.headers.cookie ?? '')
  const session = secret === undefined ? undefined : sessions.use(secret)
  if (!session) return undefined
  const token = request.headers[TOKEN_HEADER]
  return {
    role: session.role,
    session,
    writes: typeof token === 'string' && sessions.ownsToken(session, token),
  }
}

function cookieOf(header: string): string | undefined {
  for (const part of header.split(';')) {
    const [name, value] = part.trim().split('=', 2)
    if (name === COOKIE) return value
  }
  return undefined
}
