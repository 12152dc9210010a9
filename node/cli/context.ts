import type { Command } from 'commander'
import { resolve } from 'node:path'
import envPaths from 'env-paths'
import { createClient, type Client } from './client.ts'
import { createOutput, type Output } from './output.ts'

/** What every verb works with. */
export interface Context {
  readonly data: string
  readonly client: Client
  readonly out: Output
  /** Aborts on ^C. */
  readonly signal: AbortSignal
}

/** Builds the context from the options every verb takes; `--data` beats `$KITH_DATA` beats the platform's directory. */
export function contextOf(command: Command): Context {
  const options = command.optsWithGlobals<{ data?: string; json?: boolean }>()
  const data = resolve(options.data ?? process.env['KITH_DATA'] ?? envPaths('kith', { suffix: '' }).data)
  const interrupted = new AbortController()
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => interrupted.abort())
  return {
    data,
    client: createClient(data),
    out: createOutput(options.json === true),
    signal: interrupted.signal,
  }
}
