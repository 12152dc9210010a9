import { readFileSync, writeFileSync } from 'node:fs'
import { parseArgs } from 'node:util'
import { ATTACKS } from './attacks.ts'
import { Flood } from './flood.ts'
import { record } from './recorder.ts'

/*
 * A hostile peer, as a process of its own:
 *   main.ts attack NAME HOST PORT [--seconds N] [--connections N] [--recording FILE] [--from ADDRESS]…
 *   main.ts record HOST PORT FILE [--seconds N] [--count N]
 * Each prints what happened as one line of JSON. For tests, against nodes on this machine only: other addresses are refused.
 */

const USAGE = `usage: main.ts attack NAME HOST PORT [--seconds N] [--connections N] [--recording FILE] [--from ADDRESS]…
       main.ts record HOST PORT FILE [--seconds N] [--count N]
attacks:
${Object.entries(ATTACKS)
  .map(([name, { about }]) => `  ${name.padEnd(14)}${about}\n`)
  .join('')}`
/** Loopback, and the private network test machines are on (namespaces with no way out). */
const ALLOWED_HOSTS = /^(127|10)\.\d+\.\d+\.\d+$/

class UsageError extends Error {}

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    seconds: { type: 'string', default: '5' },
    connections: { type: 'string' },
    count: { type: 'string', default: '1' },
    recording: { type: 'string' },
    from: { type: 'string', multiple: true, default: [] },
  },
})
const forMs = Number(values.seconds) * 1000

async function attack(name = '', host = '', port = ''): Promise<unknown> {
  const known = ATTACKS[name]
  if (known === undefined) throw new UsageError(`there is no attack "${name}"`)
  const recording = values.recording === undefined ? [] : readRecording(values.recording)
  // A message that is played a second time is a replay, so this one ends with the recording.
  const connectionsMax = name === 'no-confirm' ? recording.length : undefined
  const flood = new Flood(
    { host, port: Number(port), from: values.from },
    known.script(recording),
    connectionsMax,
  )
  const outcome = await flood.run(Number(values.connections ?? known.connections), forMs)
  return { attack: name, seconds: Number(values.seconds), ...outcome }
}

async function recordTo(host = '', port = '', file = ''): Promise<unknown> {
  const openings = await record(host, Number(port), Number(values.count), forMs)
  writeFileSync(file, JSON.stringify(openings.map((bytes) => bytes.toString('base64'))))
  return { recorded: openings.length }
}

function readRecording(file: string): Buffer[] {
  return (JSON.parse(readFileSync(file, 'utf8')) as string[]).map((text) => Buffer.from(text, 'base64'))
}

async function main([verb, ...rest]: readonly string[]): Promise<unknown> {
  const host = verb === 'attack' ? rest[1] : rest[0]
  if (verb !== 'attack' && verb !== 'record') throw new UsageError(`there is no verb "${verb}"`)
  if (!ALLOWED_HOSTS.test(host ?? '')) throw new UsageError(`"${host}" is no address of a test`)
  return verb === 'attack' ? attack(...rest) : recordTo(...rest)
}

try {
  process.stdout.write(`${JSON.stringify(await main(positionals))}\n`)
} catch (error) {
  if (!(error instanceof UsageError)) throw error
  process.stderr.write(`${error.message}\n${USAGE}`)
  process.exitCode = 2
}
