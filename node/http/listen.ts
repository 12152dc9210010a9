import { chmod, unlink } from 'node:fs/promises'
import { once } from 'node:events'
import type { Server } from 'node:http'
import { connect } from 'node:net'
import type { AddressInfo, ListenOptions } from 'node:net'
import { listenFailure } from '../listening.ts'
import { HttpError } from './errors.ts'
import { SOCKET_PATH_SIZE_BYTES_MAX } from './limits.ts'

/** A stream that was told to end needs a turn of the event loop, not more; a stuck client must not delay the stop. */
const CLOSE_GRACE_MS = 250
/** Free ports tried with 0 until one is free on both loopback addresses. */
const FREE_PORT_TRIES = 8

/**
 * Listens on 127.0.0.1 and, where the machine has it, on ::1: browsers try both for `*.localhost`, and a port left to
 * others on one of them would be theirs to answer on. Returns the port.
 * @throws ListenError `port-in-use`, `port-forbidden`.
 */
export async function listenLoopback(ipv4: Server, ipv6: Server, port: number): Promise<number> {
  for (let tries = 1; ; tries++) {
    try {
      await listen(ipv4, { host: '127.0.0.1', port })
      const bound = (ipv4.address() as AddressInfo).port
      await listen(ipv6, { host: '::1', port: bound, ipv6Only: true })
      return bound
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException
      if (ipv4.listening && (code === 'EADDRNOTAVAIL' || code === 'EAFNOSUPPORT')) {
        return (ipv4.address() as AddressInfo).port
      }
      if (ipv4.listening) await closed(ipv4)
      if (code === 'EADDRINUSE' && port === 0 && tries < FREE_PORT_TRIES) continue
      throw listenFailure('the dashboard', '127.0.0.1', port, error)
    }
  }
}

/**
 * Listens on a unix socket only its owner can open. The umask is set around the bind, so there is no moment at which
 * the file is wider. A file nobody answers on is left over from a crash and removed.
 * @throws HttpError `socket-in-use`, `socket-path-too-long`.
 */
export async function listenUnix(server: Server, path: string): Promise<void> {
  const isFile = process.platform !== 'win32'
  if (isFile && Buffer.byteLength(path) > SOCKET_PATH_SIZE_BYTES_MAX) {
    throw new HttpError('socket-path-too-long', `The path ${path} is too long for a unix socket.`)
  }
  try {
    await listenPrivately(server, path)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EADDRINUSE') throw error
    if (await answers(path)) {
      throw new HttpError('socket-in-use', `Another node answers on ${path}.`, { cause: error })
    }
    await unlink(path)
    await listenPrivately(server, path)
  }
  if (isFile) await chmod(path, 0o600)
}

async function listenPrivately(server: Server, path: string): Promise<void> {
  const before = process.umask(0o177)
  let listening
  try {
    // libuv binds within this call, so the umask need not outlive it.
    listening = listen(server, { path })
  } finally {
    process.umask(before)
  }
  await listening
}

/** Whether a process accepts connections on the socket file. */
async function answers(path: string): Promise<boolean> {
  const socket = connect({ path })
  try {
    await once(socket, 'connect')
    return true
  } catch (error) {
    if (['ECONNREFUSED', 'ENOENT'].includes((error as NodeJS.ErrnoException).code ?? '')) return false
    throw error
  } finally {
    socket.destroy()
  }
}

async function listen(server: Server, options: ListenOptions): Promise<void> {
  const listening = once(server, 'listening')
  server.listen(options)
  await listening
}

/** Closes a listener and every connection on it; answers under way get a moment to end properly. */
export async function closed(server: Server): Promise<void> {
  if (!server.listening) return
  const done = once(server, 'close')
  server.close()
  const cut = setTimeout(() => server.closeAllConnections(), CLOSE_GRACE_MS)
  await done
  clearTimeout(cut)
}
