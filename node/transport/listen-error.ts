import { listenFailure } from '../listening.ts'

/** Finds, in what libp2p threw at start, the address that could not be bound and says so. */
export function listenError(listen: readonly string[], error: unknown): Error {
  const failure = bindFailure(error)
  const port = failure?.port ?? Number(/\/tcp\/(\d+)/.exec(listen[0] ?? '')?.[1] ?? 0)
  if (failure !== undefined) return listenFailure('the mesh', failure.address ?? '0.0.0.0', port, failure)
  return error instanceof Error ? error : new Error(String(error))
}

interface BindFailure extends NodeJS.ErrnoException {
  readonly address?: string
  readonly port?: number
}

/** libp2p wraps what the kernel said in an AggregateError or a cause, or keeps only its text. */
function bindFailure(error: unknown): BindFailure | undefined {
  if (!(error instanceof Error)) return undefined
  if (typeof (error as BindFailure).code === 'string' && /^E[A-Z]+$/.test((error as BindFailure).code ?? ''))
    return error
  const inner = error instanceof AggregateError ? error.errors : [error.cause]
  for (const candidate of inner) {
    const found = bindFailure(candidate)
    if (found !== undefined) return found
  }
  const text = /listen (E[A-Z]+): .*? (\S+?):(\d+)/.exec(error.message)
  if (text === null) return undefined
  return Object.assign(new Error(error.message), {
    code: text[1] ?? '',
    address: text[2] ?? '',
    port: Number(text[3]),
  })
}
