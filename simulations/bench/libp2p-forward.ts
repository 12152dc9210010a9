import { noise } from '@chainsafe/libp2p-noise'
import { identify } from '@libp2p/identify'
import type { Stream } from '@libp2p/interface'
import { ping } from '@libp2p/ping'
import { tcp } from '@libp2p/tcp'
import { yamux } from '@libp2p/yamux'
import { multiaddr } from '@multiformats/multiaddr'
import { createLibp2p, type Libp2p } from 'libp2p'
import type { Socket } from 'node:net'
import { connectTo, listen, parseMappings, type Mapping } from './sockets.ts'

/*
 * A port forward over libp2p 3 as it comes: one connection, stock noise and yamux, a stream per TCP connection.
 *   libp2p-forward.ts far HOST LISTEN:TARGET,…       prints its address
 *   libp2p-forward.ts near ADDRESS LISTEN:TARGET,…
 * The near end listens on 127.0.0.1:LISTEN, the far end connects to 127.0.0.1:TARGET.
 */

const LIBP2P_PORT = 4001
/** A paused stream still receives one window; libp2p resets it at 4 MiB. */
const WINDOW_BYTES_MAX = 2 * 1024 * 1024
const STREAM_LIMITS = { maxInboundStreams: 4096, maxOutboundStreams: 4096 }

const [role = '', host = '', list = ''] = process.argv.slice(2)
const mappings = parseMappings(list)

/** Joins a socket and a stream, with back-pressure both ways. */
function joinStream(socket: Socket, stream: Stream): void {
  let isResuming = false
  const holdBack = (): void => {
    if (isResuming || !socket.writableNeedDrain || stream.readStatus !== 'readable') return
    stream.pause()
    socket.once('drain', goOn)
  }
  // libp2p delivers what waited and tells the muxer then, which undoes a pause made during the delivery: it is made after.
  const goOn = (): void => {
    if (stream.readStatus !== 'paused') return
    isResuming = true
    stream.resume()
    isResuming = false
    holdBack()
  }
  socket.on('data', (chunk: Buffer) => {
    if (stream.writeStatus !== 'writable') return void socket.destroy()
    if (!stream.send(chunk) && stream.writableNeedsDrain) socket.pause()
  })
  socket.on('end', () => void stream.close().catch((error: Error) => stream.abort(error)))
  socket.on('error', (error) => stream.abort(error))
  stream.addEventListener('drain', () => socket.resume())
  stream.addEventListener('message', ({ data }) => {
    socket.cork()
    for (const part of data instanceof Uint8Array ? [data] : data) socket.write(part)
    socket.uncork()
    holdBack()
  })
  stream.addEventListener('remoteCloseWrite', () => {
    if (stream.readBufferLength === 0) socket.end()
    else stream.addEventListener('end', () => socket.end())
  })
  stream.addEventListener(
    'close',
    ({ error }) => void (error === undefined ? socket.end() : socket.destroy()),
  )
}

async function startLibp2p(listenAddresses: string[]): Promise<Libp2p> {
  return createLibp2p({
    addresses: { listen: listenAddresses },
    transports: [tcp()],
    connectionEncrypters: [noise()],
    streamMuxers: [yamux({ streamOptions: { maxStreamWindowSize: WINDOW_BYTES_MAX } })],
    connectionMonitor: { enabled: false },
    services: { ping: ping(), identify: identify() },
  })
}

const protocolOf = ({ target }: Mapping): string => `/bench/forward/${target}`

async function libp2pFar(): Promise<void> {
  const node = await startLibp2p([`/ip4/${host}/tcp/${LIBP2P_PORT}`])
  for (const mapping of mappings)
    await node.handle(
      protocolOf(mapping),
      (stream) => joinStream(connectTo(mapping.target, '127.0.0.1'), stream),
      STREAM_LIMITS,
    )
  process.stdout.write(`${node.getMultiaddrs()[0]?.toString()}\n`)
}

async function libp2pNear(): Promise<void> {
  const node = await startLibp2p([])
  const connection = await node.dial(multiaddr(host))
  for (const mapping of mappings) {
    await listen(mapping.listen, '127.0.0.1', (socket) => {
      socket.pause()
      connection.newStream(protocolOf(mapping), STREAM_LIMITS).then(
        (stream) => {
          joinStream(socket, stream)
          socket.resume()
        },
        () => socket.destroy(),
      )
    })
  }
}

// A stream that closes while its drain event is delivered throws from within libp2p (libp2p/js-libp2p#3415).
process.on('uncaughtException', (error) => void process.stderr.write(`${error.stack}\n`))
if (role === 'far') await libp2pFar()
else await libp2pNear()
