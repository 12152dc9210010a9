import test from 'ava'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { text } from 'node:stream/consumers'
import { join } from 'node:path'
import { summarize } from '../../../simulations/bench/profile.ts'
import { Recorder, renderTable, type Report } from '../../../simulations/bench/report.ts'
import { median, medianRatio, quantile } from '../../../simulations/bench/statistics.ts'

const main = join(import.meta.dirname, '..', '..', '..', 'simulations', 'bench', 'main.ts')

async function bench(
  args: readonly string[],
  env: NodeJS.ProcessEnv = process.env,
): Promise<{ code: number; stdout: string; stderr: string }> {
  const child = spawn(process.execPath, ['--disable-warning=ExperimentalWarning', main, ...args], { env })
  const [[code], stdout, stderr] = await Promise.all([
    once(child, 'exit') as Promise<[number]>,
    text(child.stdout),
    text(child.stderr),
  ])
  return { code, stdout, stderr }
}

test('the list names every benchmark', async (t) => {
  const { code, stdout } = await bench(['--list', '--json'])
  t.is(code, 0)
  t.deepEqual(
    (JSON.parse(stdout) as { name: string }[]).map(({ name }) => name),
    ['channel', 'forward', 'relay'],
  )
})

for (const [what, args, message] of [
  ['an unknown benchmark', ['nothing'], /no benchmark "nothing"/],
  ['no rounds at all', ['--rounds', '0'], /--rounds takes a number/],
  ['an unknown option', ['--fast'], /--fast/],
  ['an unknown stack', ['channel', '--only', 'smoke'], /no stack "smoke"; there are raw, /],
] as const) {
  test(`wrong usage ends with status 2: ${what}`, async (t) => {
    const { code, stdout, stderr } = await bench(args)
    t.is(code, 2)
    t.is(stdout, '')
    t.regex(stderr, message)
  })
}

test('a missing program ends with status 2 and says what to type', async (t) => {
  const { code, stderr } = await bench(['forward'], { ...process.env, PATH: '/nowhere' })
  t.is(code, 2)
  t.regex(stderr, /needs root|apt-get install/)
})

test('one round over our channel carries bytes and tells what they cost', async (t) => {
  const { code, stdout, stderr } = await bench(['channel', '--only', 'raw,kith', '--rounds', '1', '--json'])
  t.is(code, 0, stderr)
  const { benchmarks } = JSON.parse(stdout) as { benchmarks: Report[] }
  const metrics = benchmarks[0]?.stacks['kith'] ?? {}
  for (const metric of ['bulkMbPerSecond', 'bulkCpuSecondsPerGb', 'messageCpuUs', 'echoMedianUs']) {
    t.true((metrics[metric]?.median ?? 0) > 0, metric)
    t.true((metrics[metric]?.ratioTo['raw'] ?? 0) > 0, metric)
  }
})

test('medians, quantiles and ratios within rounds', (t) => {
  t.is(median([3, 1, 2]), 2)
  t.is(median([4, 1, 2, 3]), 2.5)
  t.is(median([]), Number.NaN)
  t.is(quantile([5, 1, 4, 2, 3], 0.99), 5)
  t.is(quantile([1, 2, 3, 4], 0.5), 3)
  // The second round was slow for both: that is no difference between them.
  t.is(medianRatio([2, 20, 2], [1, 10, 1]), 2)
})

test('a report keeps the order of the stacks and knows which direction is better', (t) => {
  const recorder = new Recorder('x', ['a', 'b'], { rate: 'higher' }, ['a'])
  recorder.add('b', { rate: 10, cost: 4 })
  recorder.add('a', { rate: 5, cost: 2 })
  recorder.add('a', { rate: 6, cost: 1 })
  recorder.add('b', { rate: 30, cost: 4 })
  const report = recorder.report(2)
  t.deepEqual(Object.keys(report.stacks), ['a', 'b'])
  t.like(report.stacks['b']?.['rate'], { rounds: [10, 30], median: 20, best: 30, ratioTo: { a: 3.5 } })
  t.like(report.stacks['b']?.['cost'], { best: 4, ratioTo: { a: 3 } })
  const table = renderTable(report, [
    { title: 'rate', metric: 'rate', show: 'best' },
    { title: 'x a', metric: 'rate', show: { ratioTo: 'a' } },
    { title: 'none', metric: 'none' },
  ])
  t.is(table, ['stack  rate  x a  none', 'a         6    1     -', 'b        30  3.5     -'].join('\n'))
})

test('a profile is summed by group: native code counts where it was called, idle time does not count', (t) => {
  const frame = (functionName: string, url: string) => ({
    callFrame: { functionName, url, scriptId: '0', lineNumber: 9, columnNumber: 0 },
    hitCount: 0,
  })
  const summary = summarize({
    nodes: [
      { id: 1, ...frame('(root)', ''), children: [2, 4, 5] },
      { id: 2, ...frame('seal', 'file:///x/protocols/noise-ik/aead.ts'), children: [3] },
      { id: 3, ...frame('update', '') },
      { id: 4, ...frame('(idle)', '') },
      { id: 5, ...frame('(garbage collector)', '') },
    ],
    startTime: 0,
    endTime: 1000,
    samples: [2, 3, 4, 5],
    timeDeltas: [100, 200, 600, 100],
  })
  t.is(summary.busy, 0.4)
  t.deepEqual(summary.groups, [
    ['crypto', 0.75],
    ['gc', 0.25],
  ])
  t.like(summary.functions[0], { name: 'update', group: 'crypto', share: 0.5 })
  t.true(summary.functions.some(({ name }) => name === 'seal protocols/noise-ik/aead.ts:10'))
})
