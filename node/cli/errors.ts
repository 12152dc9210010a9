import { KithError, type ReasonTable } from '../../protocols/common/errors.ts'

/** What the command itself can run into. */
export const CLI_REASONS = {
  'not-running': {
    summary: 'No node runs on this data directory.',
    fix: 'Start it with `kith up` (or `npm start` in a checkout).',
  },
  usage: { summary: 'The command was used wrongly.', fix: 'See `kith help VERB`.' },
  'not-answering': {
    summary: 'The node on this data directory did not answer as expected.',
    fix: 'Check its log; restart it if it hangs.',
  },
} as const satisfies ReasonTable

/** A failed command before or instead of the node's own answer. */
export class CliError extends KithError<keyof typeof CLI_REASONS> {}

/** An error the node answered with, `fix` included. */
export class AnsweredError extends KithError {
  readonly fix: string

  constructor(code: string, message: string, fix: string) {
    super(code, message)
    this.fix = fix
  }
}

/** Exit status by reason code: 2 for wrong usage, 3 for no node, 1 for everything else (README, "Exit codes"). */
export function exitCodeOf(code: string): number {
  if (code === 'usage') return 2
  if (code === 'not-running') return 3
  return 1
}
