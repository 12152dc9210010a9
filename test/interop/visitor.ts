import { createHash, randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { request as httpRequest } from 'node:http'
import { connect } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import { WebSocket } from 'ws'

/*
 * What a visitor does, from inside its machine: `visitor.ts VERB JSON` prints one JSON document. Addresses are given by
 * number, since the machine's own resolver knows nothing of the mesh: `host` is the Host header.
 */

interface Place {
  readonly address: string
  readonly port: number
  readonly host: string
  readonly count: number
}

const VERBS: Readonly<Record<string, (place: Place) => Promise<unknown>>> = {
  websocket,
  events,
  'parallel-http': parallelHttp,
  'parallel-tcp': parallelTcp,
  'client-finishes': (place) => hashOverTcp(place, 1024 * 1024),
  'server-finishes': serverFinishes,
}

const [verb = '', input = '{}'] = process.argv.slice(2)
const result = await VERBS[verb]?.(JSON.parse(input) as Place)
process.stdout.write(`${JSON.stringify(result)}\n`)

/** Text and binary messages of several sizes come back as they were. */
async function websocket({ address, port, host }: Place): Promise<unknown> {
  const socket = new WebSocket(`ws://${address}:${port}/echo`, { headers: { host } })
  await once(socket, 'open')
  let echoed = 0
  for (const message of ['hello', randomBytes(125), randomBytes(70_000), 'é'.repeat(1000)]) {
    socket.send(message)
    const [data, isBinary] = (await once(socket, 'message')) as [Buffer, boolean]
    if (isBinary !== (typeof message !== 'string') || !data.equals(Buffer.from(message)))
      throw new Error(`a message of ${message.length} came back as ${data.length} bytes`)
    echoed += 1
  }
  socket.close(4321, 'done')
  const [code, reason] = (await once(socket, 'close')) as [number, Buffer]
  return { echoed, code, reason: reason.toString() }
}

/** Arrival and sending times of server-sent events, ms since the epoch. */
async function events({ address, port, host }: Place): Promise<unknown> {
  const asked = httpRequest({ host: address, port, path: '/events', headers: { host } })
  asked.end()
  const [answer] = (await once(asked, 'response')) as [NodeJS.ReadableStream]
  const arrived: { sentAt: number; at: number }[] = []
  for await (const chunk of answer)
    for (const match of chunk.toString().matchAll(/data: (\d+)/g))
      arrived.push({ sentAt: Number(match[1]), at: Date.now() })
  return arrived
}

/** Status codes of `count` requests sent at once, each on a connection of its own. */
async function parallelHttp({ address, port, host, count }: Place): Promise<unknown> {
  const one = async (i: number): Promise<number> => {
    const asked = httpRequest({ host: address, port, path: `/${i}`, headers: { host }, agent: false })
    asked.end()
    const [answer] = (await once(asked, 'response')) as [NodeJS.ReadableStream & { statusCode: number }]
    let body = ''
    for await (const chunk of answer) body += chunk.toString()
    if (answer.statusCode === 200 && !body.endsWith(`/${i}\n`)) throw new Error(`${i} was answered ${body}`)
    return answer.statusCode
  }
  const statuses = await Promise.all(Array.from({ length: count }, (_, i) => one(i)))
  return Object.fromEntries(Object.entries(Object.groupBy(statuses, String)).map(([k, v]) => [k, v?.length]))
}

/** How many of `count` connections open at once got the right hash back. */
async function parallelTcp(place: Place): Promise<unknown> {
  const all = await Promise.all(Array.from({ length: place.count }, () => hashOverTcp(place, 10_000)))
  return { right: all.filter(({ isRight }) => isRight).length }
}

/** Sends, finishes, and only then is answered. */
async function hashOverTcp({ address, port }: Place, sizeBytes: number): Promise<{ isRight: boolean }> {
  const bytes = randomBytes(sizeBytes)
  const socket = connect({ host: address, port, allowHalfOpen: true })
  socket.end(bytes)
  let answer = ''
  for await (const chunk of socket) answer += chunk.toString()
  return { isRight: answer === createHash('sha256').update(bytes).digest('hex') }
}

/** The server finishes first; what is sent afterwards must still reach it. */
async function serverFinishes({ address, port }: Place): Promise<unknown> {
  const socket = connect({ host: address, port, allowHalfOpen: true })
  let heard = ''
  socket.on('data', (chunk: Buffer) => (heard += chunk.toString()))
  await once(socket, 'end')
  await sleep(300) // the end must not travel on to the other direction meanwhile
  socket.end('said after the end')
  await once(socket, 'close')
  return { heard }
}
