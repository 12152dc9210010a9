/** A signal of its own that aborts with `parent` or after a time, and leaves nothing behind once it has ended. */
export function deadline(
  parent: AbortSignal,
  afterMs: number,
): { signal: AbortSignal; end: () => void } & Disposable {
  const controller = new AbortController()
  const abort = (): void => controller.abort(parent.reason)
  const timer = setTimeout(abort, afterMs)
  parent.addEventListener('abort', abort)
  if (parent.aborted) abort()
  const end = (): void => {
    clearTimeout(timer)
    parent.removeEventListener('abort', abort)
  }
  return { signal: controller.signal, end, [Symbol.dispose]: end }
}
