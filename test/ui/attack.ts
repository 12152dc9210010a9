/** Runs in a foreign page: tries to read, to write without asking, to open a socket and to frame what is at `base`. */
export const attack = async (base: string): Promise<Record<string, string>> => {
  const read = await fetch(`${base}/api/v1/status`, { credentials: 'include' }).then(
    () => 'read',
    () => 'refused',
  )
  for (const type of ['text/plain', 'application/json']) {
    await fetch(`${base}/api/v1/services`, {
      method: 'POST',
      mode: 'no-cors',
      credentials: 'include',
      headers: { 'Content-Type': type },
      body: JSON.stringify({ name: 'evil', target: '1' }),
    }).catch(() => undefined) // refused or unreadable: what counts is whether it took effect
  }
  const socket = await new Promise<string>((resolve) => {
    const live = new WebSocket(`${base.replace('http', 'ws')}/api/v1/live`)
    live.onopen = () => resolve('opened')
    live.onerror = () => resolve('refused')
  })
  const page = globalThis as unknown as {
    document: {
      createElement(tag: string): { src: string; contentDocument: unknown; onload: () => void }
      body: { append(node: unknown): void }
    }
  }
  const frame = await new Promise<string>((resolve) => {
    const element = page.document.createElement('iframe')
    element.src = base
    element.onload = () => resolve(element.contentDocument === null ? 'refused' : 'framed')
    page.document.body.append(element)
  })
  return { read, socket, frame }
}
