import { open } from 'node:fs/promises'
import { resolveInviteArgument } from '../../bootstrap/invite-argument.ts'

/** The invite behind a command-line argument: the link itself, a file, or `-`. @throws BootstrapError `invite-unreadable`. */
export function readInviteArgument(argument: string): Promise<string> {
  return resolveInviteArgument(argument, {
    async readFile(path, maxBytes) {
      await using file = await open(path, 'r')
      const { buffer, bytesRead } = await file.read(Buffer.alloc(maxBytes), 0, maxBytes, 0)
      return buffer.subarray(0, bytesRead)
    },
    async readStdin(maxBytes) {
      const chunks: Buffer[] = []
      let length = 0
      for await (const chunk of process.stdin as AsyncIterable<Buffer>) {
        chunks.push(chunk)
        length += chunk.length
        if (length >= maxBytes) break
      }
      return Buffer.concat(chunks).subarray(0, maxBytes)
    },
  })
}
