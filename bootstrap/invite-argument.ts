import { INVITE_PREFIX } from '../protocols/admission/invite.ts'
import { BootstrapError } from './errors.ts'
import { INVITE_FILE_BYTES_MAX } from './limits.ts'

/** Where an invite can be read from; injected, since the command line and the node reach files differently. */
export interface InviteSources {
  /** At most `maxBytes` of the file. */
  readFile(path: string, maxBytes: number): Promise<Uint8Array>
  /** At most `maxBytes` of standard input. */
  readStdin(maxBytes: number): Promise<Uint8Array>
}

/**
 * The invite text behind what was given on the command line: the invite itself, a file, or `-` for standard input.
 * @throws BootstrapError `invite-unreadable`.
 */
export async function resolveInviteArgument(argument: string, sources: InviteSources): Promise<string> {
  const text = argument.trim()
  if (text.startsWith(INVITE_PREFIX)) return text
  try {
    const bytes = await (text === '-'
      ? sources.readStdin(INVITE_FILE_BYTES_MAX)
      : sources.readFile(text, INVITE_FILE_BYTES_MAX))
    return new TextDecoder().decode(bytes).trim()
  } catch (cause) {
    throw new BootstrapError('invite-unreadable', `cannot read an invite from "${text.slice(0, 80)}"`, {
      cause,
    })
  }
}
