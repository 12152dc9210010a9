import { get } from 'node:http'
import { setTimeout as sleep } from 'node:timers/promises'

/*
 * `hostile-visitor.ts JSON`: asks a service for its page again and again, on a fresh connection each time, and prints how it
 * was served as one line of JSON.
 */

interface Plan {
  readonly address: string
  readonly port: number
  readonly host: string
  readonly forMs: number
  readonly timeoutMs: number
}

/** How the visits went; times in ms. */
export interface Visits {
  readonly answered: number
  readonly failures: readonly string[]
  readonly medianMs: number
  readonly worstMs: number
}

const PAUSE_MS = 50

function visit({ address, port, host, timeoutMs }: Plan): Promise<void> {
  return new Promise((resolve, reject) => {
    const request = get({ host: address, port, headers: { host }, agent: false }, (answer) => {
      answer.resume().on('error', reject)
      answer.on('end', () => {
        if (answer.statusCode === 200) resolve()
        else reject(new Error(`status ${answer.statusCode}`))
      })
    })
    request.setTimeout(timeoutMs, () => request.destroy(new Error(`no answer in ${timeoutMs} ms`)))
    request.on('error', reject)
  })
}

async function run(plan: Plan): Promise<Visits> {
  const times: number[] = []
  const failures: string[] = []
  const until = performance.now() + plan.forMs
  while (performance.now() < until) {
    const started = performance.now()
    try {
      await visit(plan)
      times.push(performance.now() - started)
    } catch (error) {
      failures.push((error as Error).message)
    }
    await sleep(PAUSE_MS)
  }
  times.sort((one, other) => one - other)
  return {
    answered: times.length,
    failures,
    medianMs: Math.round(times[Math.floor(times.length / 2)] ?? Number.NaN),
    worstMs: Math.round(times.at(-1) ?? Number.NaN),
  }
}

process.stdout.write(`${JSON.stringify(await run(JSON.parse(process.argv[2] ?? '{}') as Plan))}\n`)
