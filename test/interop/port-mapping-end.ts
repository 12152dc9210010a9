import { createServer } from 'node:net'
import { mappingClients, PortMapper } from '../../node/port-mapping/port-mapper.ts'
import { systemClock, systemRandom, systemTimers } from '../../node/system-ports.ts'

/*
 * A host that has its port mapped: port-mapping-end.ts PORT CHECK_MS METHOD…
 * One JSON line for each change, event and for the end; greets whoever connects to the port. SIGTERM stops it.
 */

const [port = '', checkMs = '', ...methods] = process.argv.slice(2)
const say = (line: Readonly<Record<string, unknown>>): void =>
  void process.stdout.write(`${JSON.stringify(line)}\n`)
const started = performance.now()
const server = createServer((socket) => socket.on('error', () => socket.destroy()).end('hello'))
const mapper = new PortMapper({
  port: Number(port),
  checkMs: Number(checkMs),
  clients: mappingClients(systemRandom).filter(({ method }) => methods.includes(method)),
  clock: systemClock,
  timers: systemTimers,
  random: systemRandom,
  emit: ({ kind, reason }) => say({ kind, reason, phase: mapper.state().phase }),
  changed: (mapping) =>
    say({
      changed: mapping === null ? null : `${mapping.externalAddress.join('.')}:${mapping.externalPort}`,
      method: mapping?.method,
      leaseMs: mapping?.leaseMs,
      tookMs: Math.round(performance.now() - started),
    }),
})
server.listen(Number(port), () => mapper.start())
process.once('SIGTERM', () => {
  const from = performance.now()
  void mapper.stop().then(() => {
    say({ stopped: true, tookMs: Math.round(performance.now() - from) })
    process.exit(0)
  })
})
