const KEY = 'kith-token'

/**
 * The write token of this tab. It arrives in the fragment of the login redirect and is taken out of the address at once.
 * sessionStorage and BroadcastChannel belong to the origin, port included, which cookies do not.
 */
export function takeWriteToken(onToken: () => void): () => string | null {
  const match = /^#token=([\w-]{43})$/.exec(location.hash)
  if (match?.[1]) {
    sessionStorage.setItem(KEY, match[1])
    history.replaceState(null, '', location.pathname + location.search)
  }
  const channel = new BroadcastChannel('kith-token')
  channel.onmessage = ({ data }: MessageEvent<{ ask?: true; token?: string }>) => {
    const own = sessionStorage.getItem(KEY)
    if (data.ask && own) channel.postMessage({ token: own })
    if (data.token && !own) {
      sessionStorage.setItem(KEY, data.token)
      onToken()
    }
  }
  if (!sessionStorage.getItem(KEY)) channel.postMessage({ ask: true })
  return () => sessionStorage.getItem(KEY)
}

/** Forgets the token, on logout. */
export function forgetWriteToken(): void {
  sessionStorage.removeItem(KEY)
}
