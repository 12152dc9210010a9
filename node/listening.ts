import { KithError, type ReasonTable } from '../protocols/common/errors.ts'

/** Why a local listener cannot be opened; shared by DNS, gateway and forwards. */
export const LISTEN_REASONS = {
  'port-in-use': {
    summary: 'Another program already listens on this port.',
    fix: 'Stop that program, or choose another port (0 takes a free one).',
  },
  'port-forbidden': {
    summary: 'This user may not listen on this port or address.',
    fix: 'Choose a port above 1023, or run with the right to bind it.',
  },
} as const satisfies ReasonTable

/** A port or address this node cannot listen on. */
export class ListenError extends KithError<keyof typeof LISTEN_REASONS> {}

/** Turns what the kernel said into a sentence with a code; anything unexpected is passed on as it is. */
export function listenFailure(what: string, address: string, port: number, error: unknown): Error {
  const code = (error as NodeJS.ErrnoException).code
  const where = `${address.includes(':') ? `[${address}]` : address}:${port}`
  if (code === 'EADDRINUSE')
    return new ListenError('port-in-use', `Cannot listen on ${where} for ${what}: the port is in use`, {
      cause: error,
    })
  if (code === 'EACCES' || code === 'EPERM' || code === 'EADDRNOTAVAIL' || code === 'EAFNOSUPPORT') {
    return new ListenError(
      'port-forbidden',
      `Cannot listen on ${where} for ${what}: ${(error as Error).message}`,
      { cause: error },
    )
  }
  return error instanceof Error ? error : new Error(String(error))
}
