/** The one stylesheet of the pages below; served by us because the policy forbids inline styles. */
export const PLAIN_CSS = `:root{color-scheme:light dark}
body{font:16px/1.6 system-ui,sans-serif;margin:0;min-height:100vh;display:grid;place-items:center;background:#f5f6f8;color:#1b2330}
main{max-width:32rem;padding:2rem;margin:1rem;background:#fff;border:1px solid #d8dde5;border-radius:14px}
h1{font-size:1.35rem;margin:0 0 .75rem}p{margin:.5rem 0}
code{background:#eceff4;padding:.15em .4em;border-radius:5px}a{color:#0b5c8f}
@media (prefers-color-scheme:dark){body{background:#0f1319;color:#e6eaf0}main{background:#171d26;border-color:#2b3442}
code{background:#232c39}a{color:#7cc4f5}}
`

/** A page without script, for when the dashboard itself cannot be shown. Texts are ours; they are escaped all the same. */
export function plainPage(
  title: string,
  paragraphs: readonly string[],
  link?: { href: string; text: string },
): string {
  const body = paragraphs.map((text) => `<p>${withCode(text)}</p>`).join('')
  const anchor = link ? `<p><a href="${escapeHtml(link.href)}">${escapeHtml(link.text)}</a></p>` : ''
  return `<!doctype html><html lang="en"><head><meta charset="utf-8"><title>${escapeHtml(title)} · Kith</title>
<meta name="viewport" content="width=device-width,initial-scale=1"><meta name="color-scheme" content="light dark">
<link rel="icon" href="data:,"><link rel="stylesheet" href="/plain.css"></head>
<body><main><h1>${escapeHtml(title)}</h1>${body}${anchor}</main></body></html>
`
}

/** Text between backticks becomes code. */
function withCode(text: string): string {
  return escapeHtml(text).replaceAll(/`([^`]+)`/g, '<code>$1</code>')
}

function escapeHtml(text: string): string {
  return text
    .replaceAll('&', '&amp;')
    .replaceAll('<', '&lt;')
    .replaceAll('>', '&gt;')
    .replaceAll('"', '&quot;')
}
