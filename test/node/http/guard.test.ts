import { once } from 'node:events'
import { connect } from 'node:net'
import test from 'ava'
import { WebSocket } from 'ws'
import { LABEL, login, open, send, start } from './fixture.ts'
import type { Call, Fixture } from './fixture.ts'

const JSON_TYPE = { 'Content-Type': 'application/json' }
const BODY = JSON.stringify({ name: 'evil', target: '1' })

test('answers only to its exact host name and port', async (t) => {
  await using kith = await start()
  const tab = await login(kith)
  const hosts: [string, string | string[] | undefined, number][] = [
    ['the name and port', kith.host, 200],
    ['another case', kith.host.toUpperCase(), 421],
    ['a trailing dot', `${LABEL}.localhost.:${kith.port}`, 421],
    ['no port', `${LABEL}.localhost`, 421],
    ['another port', `${LABEL}.localhost:${kith.port + 1}`, 421],
    ['a name below ours', `x.${kith.host}`, 421],
    ['localhost', `localhost:${kith.port}`, 421],
    ['the IPv4 address', `127.0.0.1:${kith.port}`, 421],
    ['the IPv6 address', `[::1]:${kith.port}`, 421],
    ['a rebound name', `evil.example:${kith.port}`, 421],
    ['user information', `evil@${kith.host}`, 421],
    ['the empty name', '', 421],
    // HTTP/1.1 without Host does not pass Node's parser; either way nothing is answered.
    ['no Host', undefined, 400],
  ]
  for (const [name, host, status] of hosts) {
    for (const path of ['/api/v1/status', '/', '/no-such-file.js', '/login?code=x']) {
      const reply = await send(kith, { path, headers: { ...tab, Host: host } })
      if (status === 200) t.not(reply.status, 421, `${name} ${path}`)
      else t.is(reply.status, status, `${name} ${path}`)
    }
  }
  const forwarded = await send(kith, {
    headers: { Host: `evil.example:${kith.port}`, 'X-Forwarded-Host': kith.host },
  })
  t.is(forwarded.status, 421, 'X-Forwarded-Host is not read')
  const custom = await send(kith, { path: '/api/v1/status', headers: { ...tab, Host: 'evil.example' } })
  t.is(custom.status, 421, 'a custom header is no defence and no excuse')
})

test('refuses an absolute request target and two Host headers', async (t) => {
  await using kith = await start()
  for (const text of [
    `GET http://evil.example/ HTTP/1.1\r\nHost: ${kith.host}\r\nConnection: close\r\n\r\n`,
    `GET / HTTP/1.1\r\nHost: ${kith.host}\r\nHost: evil.example\r\nConnection: close\r\n\r\n`,
  ]) {
    const socket = connect(kith.port, '127.0.0.1')
    socket.write(text)
    let answer = ''
    for await (const chunk of socket) answer += String(chunk)
    t.regex(answer, /^HTTP\/1\.1 4(?:00|21) /)
  }
})

test('refuses what another site caused, and nothing changes', async (t) => {
  await using kith = await start()
  const tab = await login(kith)
  const { Origin: _origin, 'Sec-Fetch-Site': _site, ...bare } = tab
  const post = (headers: Record<string, string | undefined>): Call => ({
    method: 'POST',
    path: '/api/v1/services',
    headers: { ...bare, ...JSON_TYPE, ...headers },
    body: BODY,
  })
  const otherPort = `http://${LABEL}.localhost:${kith.port + 1}`
  const calls: [string, Call][] = [
    ['cross-site', post({ Origin: kith.origin, 'Sec-Fetch-Site': 'cross-site' })],
    [
      'same-site, that is another port of our name',
      post({ Origin: kith.origin, 'Sec-Fetch-Site': 'same-site' }),
    ],
    ['none on a POST', post({ 'Sec-Fetch-Site': 'none' })],
    ['an unknown value', post({ Origin: kith.origin, 'Sec-Fetch-Site': 'sure' })],
    ['Origin null', post({ Origin: 'null' })],
    ['Origin null that claims to be us', post({ Origin: 'null', 'Sec-Fetch-Site': 'same-origin' })],
    ['Origin on another port', post({ Origin: otherPort })],
    ['Origin of another host', post({ Origin: 'http://evil.example' })],
    ['Origin over TLS', post({ Origin: kith.origin.replace('http:', 'https:') })],
    ['neither header', post({})],
    [
      'a no-cors POST',
      post({ Origin: 'http://evil.example', 'Sec-Fetch-Site': 'cross-site', 'Content-Type': 'text/plain' }),
    ],
    ['a foreign read', { path: '/api/v1/status', headers: { ...bare, 'Sec-Fetch-Site': 'cross-site' } }],
    [
      'a foreign script tag',
      { path: '/assets/x.js', headers: { 'Sec-Fetch-Site': 'same-site', 'Sec-Fetch-Mode': 'no-cors' } },
    ],
    [
      'a foreign link to the page',
      { path: '/', headers: { 'Sec-Fetch-Site': 'cross-site', 'Sec-Fetch-Mode': 'navigate' } },
    ],
    [
      'a subresource without a site',
      { path: '/', headers: { 'Sec-Fetch-Site': 'none', 'Sec-Fetch-Mode': 'no-cors' } },
    ],
  ]
  for (const [name, call] of calls) {
    const reply = await send(kith, call)
    t.is(reply.status, 403, name)
    t.is((reply.json() as { error: { code: string } }).error.code, 'origin-denied', name)
  }
  t.deepEqual(kith.control.calls, [])
  const typed = await send(kith, {
    path: '/api/v1/status',
    headers: { ...bare, 'Sec-Fetch-Site': 'none', 'Sec-Fetch-Mode': 'navigate' },
  })
  t.is(typed.status, 200, 'an address typed by the user is read')
  t.is(
    (await send(kith, post(_origin ? { Origin: _origin } : {}))).status,
    200,
    'an old browser with our Origin may write',
  )
  t.is(kith.control.calls.length, 1)
})

test('refuses methods it has no use for before it looks at anything else', async (t) => {
  await using kith = await start()
  for (const method of ['OPTIONS', 'PUT', 'PATCH', 'TRACE', 'PROPFIND']) {
    t.is((await send(kith, { method, path: '/api/v1/status' })).status, 405, method)
  }
  const tab = await login(kith)
  const wrong = await send(kith, { method: 'POST', path: '/api/v1/status', headers: tab })
  t.is(wrong.status, 405)
  t.regex(wrong.headers.allow ?? '', /GET/)
  t.is((await send(kith, { method: 'POST', path: '/', headers: { Origin: kith.origin } })).status, 405)
})

test('every answer carries the security headers, refusals included', async (t) => {
  await using kith = await start()
  const replies = [
    await send(kith, { path: '/' }),
    await send(kith, { path: '/nothing.js' }),
    await send(kith, { path: '/api/v1/status' }),
    await send(kith, { headers: { Host: 'evil.example' } }),
    await send(kith, { path: '/login?code=wrong', headers: { Accept: 'text/html' } }),
  ]
  for (const { headers, text } of replies) {
    const policy = String(headers['content-security-policy'])
    for (const part of [
      "default-src 'none'",
      "script-src 'self'",
      "style-src 'self'",
      "frame-ancestors 'none'",
      "require-trusted-types-for 'script'",
    ]) {
      t.true(policy.includes(part), part)
    }
    t.is(headers['referrer-policy'], 'no-referrer')
    t.is(headers['x-content-type-options'], 'nosniff')
    t.is(headers['cross-origin-resource-policy'], 'same-origin')
    t.is(headers['access-control-allow-origin'], undefined)
    t.is(headers['strict-transport-security'], undefined)
    t.is(headers['x-powered-by'], undefined)
    t.notRegex(text, /<script|style=|<style/)
  }
})

test('opens no WebSocket for another host, another origin or a stranger', async (t) => {
  await using kith = await start()
  const tab = await login(kith)
  const url = `ws://127.0.0.1:${kith.port}/api/v1/live`
  const cases: [string, Record<string, string>, number][] = [
    ['another host', { ...tab, Host: `evil.example:${kith.port}` }, 421],
    ['another origin', { ...tab, Host: kith.host, Origin: 'http://evil.example' }, 403],
    [
      'another port of our name',
      { ...tab, Host: kith.host, Origin: `http://${LABEL}.localhost:1`, 'Sec-Fetch-Site': 'same-site' },
      403,
    ],
    ['origin null', { ...tab, Host: kith.host, Origin: 'null' }, 403],
    ['no origin', { Cookie: tab['Cookie']!, Host: kith.host }, 403],
    ['no session', { Host: kith.host, Origin: kith.origin }, 401],
    ['a made-up session', { Host: kith.host, Origin: kith.origin, Cookie: '__Host-kith=AAAA' }, 401],
  ]
  for (const [name, headers, status] of cases) t.is(await refusal(url, headers), status, name)
  t.is(await refusal(url.replace('live', 'other'), { ...tab, Host: kith.host }), 404)
  t.is(await refusal(url.replace('/live', '/live?x=1'), { ...tab, Host: kith.host }), 404)
})

test('refusals become events without a word of the attacker in them', async (t) => {
  await using kith = await start()
  const count = (kind: string): number => kith.control.log.filter((event) => event.kind === kind).length
  await send(kith, { headers: { Host: 'evil.example' } })
  await send(kith, { method: 'POST', path: '/api/v1/found', headers: { Origin: 'http://evil.example' } })
  await send(kith, { path: '/login?code=guess' })
  t.is(count('host.denied'), 1)
  t.is(count('csrf.denied'), 1)
  t.is(count('auth.failed'), 1)
  for (const { fields } of kith.control.log.filter(
    ({ kind }) => /denied|failed/.test(kind) && kind !== 'handshake.failed',
  ))
    t.regex(String(fields['from']), /^\/ip[46]\/[0-9a-f.:]+\/tcp\/\d+$/, 'where it came from, for Fail2Ban')
  t.notRegex(
    JSON.stringify(kith.control.log),
    /guess|evil/,
    'an event holds no text of the attacker and no code',
  )
})

test('closes cleanly while requests are open', async (t) => {
  const kith: Fixture = await start()
  const tab = await login(kith)
  const response = await open(kith, { path: '/api/v1/events?follow=1', headers: tab })
  const ended = once(response.resume(), 'end')
  await kith[Symbol.asyncDispose]()
  await ended
  t.is(kith.control.eventListeners.size, 0)
})

/** Status with which a WebSocket handshake is refused. */
async function refusal(url: string, headers: Record<string, string>): Promise<number | undefined> {
  const socket = new WebSocket(url, { headers })
  return new Promise((resolve, reject) => {
    socket.on('unexpected-response', (request, response) => {
      resolve(response.statusCode)
      request.destroy()
    })
    socket.on('open', () => reject(new Error('the socket was opened')))
    socket.on('error', () => {})
  })
}
