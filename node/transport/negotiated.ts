import { ChannelError } from '../../protocols/secure-channel/errors.ts'
import type { Secured } from '../../protocols/secure-channel/upgrade.ts'

/**
 * Tells libp2p that all is negotiated. Without a muxer it would negotiate one, in clear, on the raw connection.
 * @throws ChannelError `muxer-not-offered`
 */
export function withoutNegotiation({ remotePeer, muxer }: Secured): {
  skipEncryption: true
  skipProtection: true
  remotePeer: Secured['remotePeer']
  muxerFactory: NonNullable<Secured['muxer']>
} {
  if (muxer === undefined)
    throw new ChannelError('muxer-not-offered', `${remotePeer.toString()} offers no multiplexer we have`)
  return { skipEncryption: true, skipProtection: true, remotePeer, muxerFactory: muxer }
}
