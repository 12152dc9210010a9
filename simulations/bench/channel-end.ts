import { setImmediate as turn } from 'node:timers/promises'
import {
  BULK_BYTES,
  MESSAGE_BYTES,
  STACK_NAMES,
  type Answer,
  type Load,
  type Question,
} from './channel-protocol.ts'
import { STACKS, type Link } from './stacks.ts'

/* channel-end.ts STACK: one of the two processes of a stack; does what it is told over its pipe, and counts its own CPU time. */

/** Messages sent in one turn of the event loop, as a program does that has much to say. */
const BURST_COUNT = 100

const name = STACK_NAMES.find((known) => known === process.argv[2])
if (name === undefined) throw new Error(`there is no stack "${process.argv[2]}"`)
const stack = STACKS[name]

let link: Link | undefined
let load: Load = 'bulk'
let isListener = false
let receivedBytes = 0
let expectedBytes = Number.POSITIVE_INFINITY
let onExpected: (() => void) | undefined
let firstByteAt = 0
let lastByteAt = 0
let cpuBefore = process.cpuUsage()

function receive(from: Link, bytes: Uint8Array): void {
  if (receivedBytes === 0) firstByteAt = performance.now()
  receivedBytes += bytes.length
  if (isListener && load === 'echo') from.send(bytes)
  if (receivedBytes < expectedBytes) return
  lastByteAt = performance.now()
  onExpected?.()
}

function received(sizeBytes: number): Promise<void> {
  expectedBytes = sizeBytes
  if (receivedBytes >= sizeBytes) {
    lastByteAt = performance.now()
    return Promise.resolve()
  }
  return new Promise((resolve) => (onExpected = resolve))
}

async function sendBulk(to: Link, until: number): Promise<number> {
  const chunk = Buffer.alloc(BULK_BYTES, 'x')
  let sentBytes = 0
  while (performance.now() < until) {
    sentBytes += chunk.length
    if (!to.send(chunk)) await to.drained()
  }
  return sentBytes
}

async function sendMessages(to: Link, until: number): Promise<number> {
  const message = Buffer.alloc(MESSAGE_BYTES, 'x')
  let sentBytes = 0
  while (performance.now() < until) {
    let hasRoom = true
    for (let i = 0; i < BURST_COUNT; i++) hasRoom = to.send(message)
    sentBytes += BURST_COUNT * MESSAGE_BYTES
    if (!hasRoom) await to.drained()
    await turn()
  }
  return sentBytes
}

async function sendAndWait(to: Link, until: number): Promise<number[]> {
  const message = Buffer.alloc(MESSAGE_BYTES, 'x')
  const times: number[] = []
  while (performance.now() < until) {
    const started = performance.now()
    to.send(message)
    await received((times.length + 1) * MESSAGE_BYTES)
    times.push((lastByteAt - started) * 1000)
  }
  return times
}

async function answer(question: Question): Promise<Answer> {
  switch (question.verb) {
    case 'listen':
      isListener = true
      return { address: await stack.listen(receive) }
    case 'dial':
      link = await stack.dial(question.address, receive)
      return {}
    case 'begin':
      load = question.load
      receivedBytes = 0
      expectedBytes = Number.POSITIVE_INFINITY
      onExpected = undefined
      cpuBefore = process.cpuUsage()
      return {}
    case 'send': {
      if (link === undefined) throw new Error('not connected')
      const until = performance.now() + question.forMs
      if (question.load === 'echo') return { times: await sendAndWait(link, until) }
      const run = question.load === 'bulk' ? sendBulk : sendMessages
      return { sentBytes: await run(link, until) }
    }
    case 'receive':
      await received(question.sizeBytes)
      return { receivedInMs: lastByteAt - firstByteAt }
    case 'end': {
      const { user, system } = process.cpuUsage(cpuBefore)
      return { cpuUs: user + system }
    }
  }
}

process.on('message', (question: Question) => {
  answer(question).then(
    (result) => process.send?.(result),
    (error: Error) => process.send?.({ error: error.stack ?? error.message } satisfies Answer),
  )
})
// Whatever happens to the bench, its processes end with it.
process.on('disconnect', () => process.exit(0))
