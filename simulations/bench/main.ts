import { parseArgs } from 'node:util'
import { channel } from './channel.ts'
import { BenchError } from './errors.ts'
import { forward } from './forward.ts'
import type { BenchOptions, BenchResult } from './options.ts'
import { relay } from './relay.ts'
import type { Report } from './report.ts'

/*
 * Benchmarks, each with its references in the same run: `npm run bench -- [NAME…] [--json] [--rounds N]`. README.md beside this
 * file says how to read them.
 */

const BENCHMARKS: Readonly<
  Record<string, { readonly about: string; readonly run: (options: BenchOptions) => Promise<BenchResult> }>
> = {
  channel: {
    about: 'the secure channel between two processes: raw TCP, plaintext, stock libp2p noise, ours',
    run: channel,
  },
  forward: {
    about: 'a port forward between two machines: ssh -L, a plain relay, stock libp2p, kith (root)',
    run: forward,
  },
  relay: {
    about: 'a transfer through a relay beside the same one without, and two pairs through it at once (root)',
    run: relay,
  },
}
const ROUNDS_MAX = 1000
const USAGE = `usage: npm run bench -- [NAME…] [--json] [--rounds N] [--only STACK,…] [--profile] [--list]
names: ${Object.keys(BENCHMARKS).join(', ')} (all when none is given)
`

interface Arguments {
  readonly names: readonly string[]
  readonly isJson: boolean
  readonly isListed: boolean
  readonly options: BenchOptions
}

/** @throws BenchError on wrong usage. */
function parse(args: readonly string[]): Arguments {
  const { values, positionals } = parseArguments(args)
  for (const name of positionals)
    if (!Object.hasOwn(BENCHMARKS, name)) throw new BenchError(`there is no benchmark "${name}"\n${USAGE}`)
  const rounds = values.rounds === undefined ? undefined : Number(values.rounds)
  if (rounds !== undefined && !(Number.isInteger(rounds) && rounds >= 1 && rounds <= ROUNDS_MAX))
    throw new BenchError(`--rounds takes a number from 1 to ${ROUNDS_MAX}\n${USAGE}`)
  return {
    names: positionals.length === 0 ? Object.keys(BENCHMARKS) : [...new Set(positionals)],
    isJson: values.json === true,
    isListed: values.list === true,
    options: {
      rounds,
      stacks: values.only?.split(','),
      isProfiled: values.profile === true,
      progress: (line) => void process.stderr.write(`${line}\n`),
    },
  }
}

function parseArguments(args: readonly string[]) {
  try {
    return parseArgs({
      args: [...args],
      allowPositionals: true,
      options: {
        json: { type: 'boolean' },
        list: { type: 'boolean' },
        profile: { type: 'boolean' },
        rounds: { type: 'string' },
        only: { type: 'string' },
      },
    })
  } catch (cause) {
    throw new BenchError(`${(cause as Error).message}\n${USAGE}`, { cause })
  }
}

async function bench({ names, isJson, isListed, options }: Arguments): Promise<void> {
  if (isListed) {
    const list = Object.entries(BENCHMARKS).map(([name, { about }]) => ({ name, about }))
    const lines = list.map(({ name, about }) => `${name.padEnd(10)}${about}\n`)
    process.stdout.write(isJson ? `${JSON.stringify(list)}\n` : lines.join(''))
    return
  }
  const reports: Report[] = []
  for (const name of names) {
    const result = await BENCHMARKS[name]?.run(options)
    if (result === undefined) continue
    reports.push(result.report)
    const heading = `${name}: ${BENCHMARKS[name]?.about}`
    // The tables go where the reader is; with --json that is stderr.
    ;(isJson ? process.stderr : process.stdout).write(`\n${heading}\n\n${result.text}\n`)
  }
  if (isJson) process.stdout.write(`${JSON.stringify({ benchmarks: reports })}\n`)
}

try {
  await bench(parse(process.argv.slice(2)))
} catch (error) {
  process.stderr.write(`bench: ${error instanceof BenchError ? error.message : (error as Error).stack}\n`)
  process.exitCode = error instanceof BenchError ? 2 : 1
}
