import { once } from 'node:events'
import { connect, type Socket } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'

/*
 * echo-client.ts HOST PORT probe TIMEOUT_MS       waits until one byte comes back; exit status 1 when it never does
 * echo-client.ts HOST PORT rtt COUNT SIZE_BYTES   prints the round trips in µs as JSON, after some that are not counted
 */

const WARM_UP_COUNT = 20
const PAUSE_MS = 2
const ANSWER_TIMEOUT_MS = 5000
const RETRY_MS = 20

const [host = '', port = '', verb = '', ...rest] = process.argv.slice(2)

async function open(): Promise<Socket> {
  const socket = connect({ host, port: Number(port), noDelay: true })
  socket.setTimeout(ANSWER_TIMEOUT_MS, () => socket.destroy(new Error('no answer')))
  await once(socket, 'connect')
  return socket
}

async function roundTrip(socket: Socket, message: Buffer): Promise<number> {
  const answered = Promise.withResolvers<number>()
  let missing = message.length
  const started = performance.now()
  const onData = (chunk: Buffer): void => {
    missing -= chunk.length
    if (missing <= 0) answered.resolve((performance.now() - started) * 1000)
  }
  const onClose = (): void => answered.reject(new Error('closed before the answer'))
  socket.on('data', onData).once('close', onClose)
  socket.write(message)
  try {
    return await answered.promise
  } finally {
    socket.off('data', onData).off('close', onClose)
  }
}

async function probe(timeoutMs: number): Promise<void> {
  const deadline = performance.now() + timeoutMs
  for (;;) {
    try {
      const socket = await open()
      socket.on('error', () => undefined) // told by the close
      await roundTrip(socket, Buffer.from('x'))
      socket.destroy()
      return
    } catch (error) {
      if (performance.now() > deadline) throw error
      await sleep(RETRY_MS)
    }
  }
}

async function measure(count: number, sizeBytes: number): Promise<number[]> {
  const socket = await open()
  const message = Buffer.alloc(sizeBytes, 'x')
  const times: number[] = []
  for (let i = 0; i < count + WARM_UP_COUNT; i++) {
    const tookUs = await roundTrip(socket, message)
    if (i >= WARM_UP_COUNT) times.push(tookUs)
    await sleep(PAUSE_MS)
  }
  socket.destroy()
  return times
}

if (verb === 'probe') await probe(Number(rest[0]))
else process.stdout.write(`${JSON.stringify(await measure(Number(rest[0]), Number(rest[1])))}\n`)
