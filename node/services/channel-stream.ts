import { Duplex } from 'node:stream'
import type { Socket } from 'node:net'
import { keptFew, type ByteChannel } from '../../protocols/mux/channel.ts'

/** Bytes a local socket may hold unsent before the other side is held back; to be given where sockets are made. */
export const LOCAL_HIGH_WATER_BYTES = 256 * 1024

/**
 * Joins a local stream (a socket that allows half-open) with a channel until both directions ended or either failed. Built on
 * events, not on iterables: a short connection costs a few dozen calls.
 * @param onClosed told once; with an error when the channel failed, or the local side left early.
 */
export function joinChannel(local: Duplex, channel: ByteChannel, onClosed: (error?: Error) => void): void {
  if (local.destroyed) {
    // It left while the channel was being opened, and tells nobody any more.
    channel.reset()
    return onClosed(new Error('the local connection closed'))
  }
  let owedBytes = 0
  /** What came while the local side took nothing; kept in few arrays. */
  let held: Uint8Array[] = []
  let hasEnded = false
  let isCorked = false
  let isDone = false
  let failure: Error | undefined
  const uncork = (): void => {
    isCorked = false
    local.uncork()
  }
  local.on('data', (bytes: Buffer) => {
    if (!channel.write(bytes)) local.pause()
  })
  local.on('end', () => channel.end())
  local.on('drain', () => {
    const waiting = held
    held = []
    let takes = true
    for (const bytes of waiting) takes = local.write(bytes)
    if (hasEnded) return void local.end()
    if (!takes) return
    channel.consumed(owedBytes)
    owedBytes = 0
  })
  local.on('error', (error) => (failure ??= error))
  local.on('close', () => {
    if (!isDone && (!local.readableEnded || !local.writableFinished)) {
      failure ??= new Error('the local connection closed')
      channel.reset()
    }
    onClosed(failure)
  })
  channel.use({
    onData(bytes) {
      if (local.destroyed) return
      if (owedBytes > 0) {
        owedBytes += bytes.length
        held = keptFew(held, bytes)
        return
      }
      if (!isCorked) {
        // The pieces of one record leave in one write.
        isCorked = true
        local.cork()
        process.nextTick(uncork)
      }
      if (local.write(bytes)) channel.consumed(bytes.length)
      else owedBytes += bytes.length
    },
    onEnd() {
      hasEnded = true
      if (held.length > 0) return // ended behind them
      if (!isSocket(local) || !local.readableEnded || local.writableLength > 0) return void local.end()
      // Both directions are done and all has left: closing says so too, and costs one call into the system instead of two.
      isDone = true
      local.destroy()
    },
    onReset(error) {
      failure ??= error
      drop(local, error)
    },
    onDrain: () => void local.resume(),
  })
}

/** Ends a local stream so that its other side can tell it from an orderly end. */
export function drop(local: Duplex, reason: Error): void {
  if (local.destroyed) return
  if (isSocket(local)) local.resetAndDestroy()
  else local.destroy(reason)
}

function isSocket(local: Duplex): local is Socket {
  return 'resetAndDestroy' in local
}

/** A channel as a Node stream, for node:http. Half-close works both ways. */
export function channelStream(channel: ByteChannel): Duplex {
  let owedBytes = 0
  let isHeld: ((error?: Error | null) => void) | undefined
  const stream = new Duplex({
    read() {
      if (owedBytes > 0) channel.consumed(owedBytes)
      owedBytes = 0
    },
    write(chunk: Uint8Array, _encoding, callback) {
      if (channel.write(chunk)) callback()
      else isHeld = callback
    },
    final(callback) {
      channel.end()
      callback()
    },
    destroy(error, callback) {
      if (!(this.readableEnded && this.writableFinished)) channel.reset()
      callback(error)
    },
  })
  channel.use({
    onData(bytes) {
      if (stream.push(bytes)) channel.consumed(bytes.length)
      else owedBytes += bytes.length
    },
    onEnd: () => void stream.push(null),
    onReset: (error) => void stream.destroy(error),
    onDrain() {
      const callback = isHeld
      isHeld = undefined
      callback?.()
    },
  })
  return stream
}
