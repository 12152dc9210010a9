/**
 * Makes attempts in order: the next one begins when one failed, or beside those under way after `delayMs` (RFC 8305 §5). The first
 * success counts. @throws the error of the first attempt when all failed: it is the one that was wanted most.
 */
export function firstToSucceed<T>(
  attempts: readonly (() => Promise<T>)[],
  delayMs: number,
  signal: AbortSignal,
): Promise<T> {
  return new Promise((resolve, reject) => {
    const failures = new Map<number, unknown>()
    let next = 0
    let timer: NodeJS.Timeout | undefined
    const settle = (act: () => void): void => {
      clearTimeout(timer)
      signal.removeEventListener('abort', onAbort)
      next = attempts.length
      act()
    }
    const onAbort = (): void => settle(() => reject(signal.reason as Error))
    const begin = (): void => {
      clearTimeout(timer)
      const index = next++
      const attempt = attempts[index]
      if (attempt === undefined) return
      timer = setTimeout(begin, delayMs)
      attempt().then(
        (result) => settle(() => resolve(result)),
        (error: unknown) => {
          failures.set(index, error)
          if (failures.size === attempts.length) settle(() => reject(failures.get(0)))
          else begin()
        },
      )
    }
    if (attempts.length === 0) throw new Error('no attempt to make')
    if (signal.aborted) return onAbort()
    signal.addEventListener('abort', onAbort)
    begin()
  })
}
