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
  const failure = `cannot read an invite from "${text.slice(0, 80)}"`
  // One byte more than is taken tells a longer file, which would else be cut in the middle of something.
  const maxBytes = INVITE_FILE_BYTES_MAX + 1
  let bytes: Uint8Array
  try {
    bytes = await (text === '-' ? sources.readStdin(maxBytes) : sources.readFile(text, maxBytes))
  } catch (cause) {
    throw new BootstrapError('invite-unreadable', failure, { cause })
  }
  if (bytes.length > INVITE_FILE_BYTES_MAX)
    throw new BootstrapError('invite-unreadable', `${failure}: more than ${INVITE_FILE_BYTES_MAX} bytes`)
  return new TextDecoder().decode(bytes).trim()
}
