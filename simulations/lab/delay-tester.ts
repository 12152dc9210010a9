import { createSocket } from 'node:dgram'

/*
 * Round trips of UDP packets, for the lab's test of itself:
 *   delay-tester.ts serve              answers on port 7 of every address; prints `ready`
 *   delay-tester.ts probe HOST COUNT   prints `{"received","p50Ms","p95Ms","maxMs"}`
 */

const PORT = 7
const INTERVAL_MS = 20
/** After the last packet went out. */
const LATE_MS = 1_500

/** What a probe found. */
export interface Delays {
  readonly received: number
  readonly p50Ms: number
  readonly p95Ms: number
  readonly maxMs: number
}

function serve(): void {
  const socket = createSocket('udp4')
  socket.on('message', (bytes, { port, address }) => socket.send(bytes, port, address))
  socket.bind(PORT, () => void process.stdout.write('ready\n'))
}

function probe(host: string, count: number): void {
  const socket = createSocket('udp4')
  const took: number[] = []
  const sent = new Map<number, number>()
  socket.on('message', (bytes) => {
    const n = bytes.readUInt32BE()
    const at = sent.get(n)
    if (at === undefined) return
    sent.delete(n)
    took.push(performance.now() - at)
  })
  let n = 0
  const timer = setInterval(() => {
    if (n === count) {
      clearInterval(timer)
      setTimeout(report, LATE_MS)
      return
    }
    const bytes = Buffer.alloc(64)
    bytes.writeUInt32BE(n)
    sent.set(n++, performance.now())
    socket.send(bytes, PORT, host)
  }, INTERVAL_MS)
  const report = (): void => {
    const sorted = took.toSorted((a, b) => a - b)
    const at = (share: number): number => sorted[Math.floor(share * (sorted.length - 1))] ?? Number.NaN
    const delays: Delays = { received: took.length, p50Ms: at(0.5), p95Ms: at(0.95), maxMs: at(1) }
    process.stdout.write(`${JSON.stringify(delays)}\n`)
    socket.close()
  }
}

const [verb, host = '', count = '100'] = process.argv.slice(2)
if (verb === 'serve') serve()
else probe(host, Number(count))
