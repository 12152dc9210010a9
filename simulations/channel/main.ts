import { parseArgs } from 'node:util'
import { BatchFailure, describeBatch, runMany } from './batch.ts'
import { run } from './run.ts'

/*
 * Seeded runs of a simulated channel: `simulations/channel/main.ts [--runs N] [--real N] [--seed TEXT]`, or one run again, with
 * all that happens in it: `--replay SEED/NUMBER [--real 1]`.
 */

const { values } = parseArgs({
  options: {
    runs: { type: 'string', default: '5000' },
    real: { type: 'string', default: '300' },
    seed: { type: 'string', default: 'channel' },
    replay: { type: 'string' },
  },
})
const print = (line: string): void => void process.stdout.write(`${line}\n`)

try {
  if (values.replay === undefined) {
    const startedAt = performance.now()
    const result = runMany(
      values.seed,
      Number(values.runs),
      Math.min(Number(values.real), Number(values.runs)),
    )
    for (const line of describeBatch(result)) print(line)
    print(`${((performance.now() - startedAt) / 1000).toFixed(1)} s`)
  } else {
    const { ends } = run(values.replay, { isReal: values.real === '1', trace: print })
    print(`ends: ${ends.join(', ')}`)
  }
} catch (error) {
  print(error instanceof BatchFailure ? error.message : String((error as Error).stack))
  process.exitCode = 1
}
