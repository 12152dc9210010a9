import { spawn } from 'node:child_process'
import { join } from 'node:path'
import test, { type ExecutionContext } from 'ava'

const MAIN = join(import.meta.dirname, '..', '..', 'simulations', 'main.ts')
/** Named scenarios take about 65 CPU-seconds, random ones about 110, on the machine they were made for. */
const LONGEST_MS = 15 * 60_000

/** Runs the simulator as users do; what it prints about a failure ends with the command that replays it. */
async function simulate(t: ExecutionContext, args: readonly string[]): Promise<void> {
  t.timeout(LONGEST_MS)
  const child = spawn(process.execPath, ['--disable-warning=ExperimentalWarning', MAIN, ...args], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  let output = ''
  child.stdout.setEncoding('utf8').on('data', (text: string) => (output += text))
  const code = await new Promise<number | null>((done) => void child.once('close', done))
  for (const line of output.trimEnd().split('\n')) t.log(line)
  t.is(code, 0, output)
}

test.serial('every scenario holds', (t) => simulate(t, ['--no-shrink']))
