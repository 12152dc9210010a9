import type { ServerResponse } from 'node:http'

/** Why the gateway answers instead of the service. */
export interface GatewayProblem {
  readonly status: number
  readonly code: string
  readonly text: string
  readonly fix: string
}

/** Answers with the problem: the code as header and JSON for programs, a readable page for browsers. Never from a cache. */
export function sendProblem(response: ServerResponse, problem: GatewayProblem, acceptsHtml: boolean): void {
  const body = acceptsHtml
    ? page(problem)
    : `${JSON.stringify({ error: { code: problem.code, message: problem.text, fix: problem.fix } })}\n`
  response.writeHead(problem.status, {
    'content-type': acceptsHtml ? 'text/html; charset=utf-8' : 'application/json',
    'content-length': Buffer.byteLength(body),
    'cache-control': 'no-store',
    'x-kith-reason': problem.code,
    'content-security-policy': "default-src 'none'; style-src 'unsafe-inline'",
  })
  response.end(body)
}

/** The same for a connection that has left HTTP (an upgrade that failed). */
export function problemBytes(problem: GatewayProblem): string {
  const body = `${problem.code}: ${problem.text}\n${problem.fix}\n`
  return `HTTP/1.1 ${problem.status} ${problem.code}\r\ncontent-type: text/plain; charset=utf-8\r\ncontent-length: ${Buffer.byteLength(body)}\r\nx-kith-reason: ${problem.code}\r\nconnection: close\r\n\r\n${body}`
}

function page({ status, code, text, fix }: GatewayProblem): string {
  return `<!doctype html><html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>${status} · ${escapeHtml(code)}</title>
<style>:root{color-scheme:light dark}body{font:16px/1.5 system-ui,sans-serif;max-width:40rem;margin:12vh auto;padding:0 1.25rem}h1{font-size:1.35rem}code{font:.9em ui-monospace,monospace}p.fix{border-left:3px solid #2a7;padding-left:1rem}</style>
<main><h1>This service cannot be opened right now</h1><p>${escapeHtml(text)}.</p><p class="fix">${escapeHtml(fix)}</p><p><code>${status} ${escapeHtml(code)}</code> from the Kith gateway on this machine</p></main></html>
`
}

function escapeHtml(text: string): string {
  return text
    .replaceAll('&', '&amp;')
    .replaceAll('<', '&lt;')
    .replaceAll('>', '&gt;')
    .replaceAll('"', '&quot;')
}
