import test from 'ava'
import { spawnSync } from 'node:child_process'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { renderPlayed } from '../../../simulations/lab/story-report.ts'
import { LONG_STORIES, STORIES } from '../../../simulations/scenarios/stories.ts'
import { NAMED } from '../../../simulations/scenarios/index.ts'
import { askedFor, differences, predict } from '../../../simulations/scenarios/story-outcome.ts'
import {
  changedBefore,
  checksOf,
  nodesOf,
  readStory,
  runningAt,
  toScenario,
  type StoryInput,
} from '../../../simulations/scenarios/story.ts'
import { temporaryFolder } from '../../temporary-folder.ts'

const command = join(import.meta.dirname, '..', '..', '..', 'simulations', 'lab', 'run.ts')

const small: StoryInput = {
  name: 'small',
  sites: [
    { name: 'a', kind: 'open' },
    { name: 'b', kind: 'full-cone', nodes: 2 },
    { name: 'c', kind: 'symmetric' },
  ],
  links: [{ one: 'a', other: 'c', delayMs: 80, lossRate: 0.1 }],
  steps: [
    { kind: 'cut', at: 5, until: 30, sites: ['c'], direction: 'in' },
    { kind: 'kill', at: 40, until: 50, node: 'b-2' },
    { kind: 'reboot-nat', at: 55, site: 'b' },
    { kind: 'roam', at: 60, node: 'b-2', to: 'c' },
    { kind: 'check', at: 90, name: 'whole' },
    { kind: 'check', at: 49, name: 'one is dead' },
  ],
}

for (const story of [...STORIES, ...LONG_STORIES])
  test(`${story.name}: the simulator ends every check as the story asks, whatever the seed`, (t) => {
    for (const seed of ['1', '2', '3']) {
      const { run, checks } = predict(story, seed)
      t.is(run.violation, null)
      checks.forEach(({ name, outcome, settledMs }, i) => {
        const check = checksOf(story)[i]
        if (check === undefined) return t.fail('a check nobody asked for')
        t.deepEqual(differences(outcome, askedFor(story, check)), [], name)
        t.true(settledMs < (check.at - changedBefore(story, check)) * 1000 || settledMs === 0, name)
      })
      t.is(checks.length, checksOf(story).length)
    }
  })

test('every story is a scenario of the simulator too', (t) => {
  for (const { name } of STORIES) t.true(NAMED.some((scenario) => scenario.name === name))
  t.is(new Set(NAMED.map(({ name }) => name)).size, NAMED.length)
})

test('a story becomes a scenario: the same nodes, sites, ways and steps', (t) => {
  const story = readStory(small)
  t.deepEqual(
    nodesOf(story).map(({ name }) => name),
    ['a', 'b', 'b-2', 'c'],
  )
  const { topology, faults, nodes } = toScenario(story)
  t.is(nodes, 4)
  t.like(topology, { nat: ['open', 'full-cone', 'symmetric'], sites: [0, 1, 1, 2], relays: 1 })
  t.deepEqual(topology.links, [{ one: 0, other: 2, delayMs: 80, jitterMs: 0, lossRate: 0.1 }])
  t.deepEqual(
    faults.map(({ kind, at, until, select }) => ({ kind, at, until, select })),
    [
      { kind: 'partition', at: 5, until: 30, select: { indices: [3] } },
      { kind: 'kill', at: 40, until: 50, select: { indices: [2] } },
      { kind: 'reboot-nat', at: 55, until: undefined, select: { indices: [1, 2] } },
      { kind: 'roam', at: 60, until: undefined, select: { indices: [2] } },
    ],
  )
  const [dead, whole] = checksOf(story)
  t.is(dead?.name, 'one is dead')
  t.is(dead && changedBefore(story, dead), 40)
  t.is(whole && changedBefore(story, whole), 60)
  t.deepEqual(runningAt(story, 45), ['a', 'b', 'c'])
  const { checks, run } = predict(story, '1')
  t.is(run.violation, null)
  t.deepEqual(checks[1] && differences(checks[1].outcome, askedFor(story, checksOf(story)[1]!)), [])
})

const MISTAKES: readonly (readonly [string, Partial<StoryInput>, RegExp])[] = [
  ['nobody could join', { sites: [...small.sites].toReversed() }, /first site is not open/],
  ['one name twice', { sites: [...small.sites, { name: 'a', kind: 'open' }] }, /two sites have one name/],
  [
    'an open site with two',
    { sites: [{ name: 'a', kind: 'open', nodes: 2 }, ...small.sites.slice(1)] },
    /more than one node/,
  ],
  ['an unknown site', { steps: [{ kind: 'reboot-nat', at: 1, site: 'x' }] }, /there is no site .*x/],
  ['an unknown node', { steps: [{ kind: 'kill', at: 1, node: 'x' }] }, /there is no node .*x/],
  [
    'an end before the begin',
    { steps: [{ kind: 'kill', at: 2, until: 1, node: 'a' }] },
    /ends before it begins/,
  ],
  ['a move of an open node', { steps: [{ kind: 'roam', at: 1, node: 'a', to: 'b' }] }, /only go from one/],
]
for (const [what, change, wanted] of MISTAKES)
  test(`a story with ${what} is refused`, (t) => {
    t.regex(t.throws(() => readStory({ ...small, ...change }))?.message ?? '', wanted)
  })

test('what differs is said in words', (t) => {
  const wanted = { holds: { a: { b: 'alive', c: 'dead' } }, opens: { a: { b: true, c: false } } }
  t.deepEqual(differences(wanted, wanted), [])
  t.deepEqual(
    differences({ holds: { a: { b: 'dead', c: 'dead' } }, opens: { a: { b: false, c: true } } }, wanted),
    ['a holds b dead, not alive', 'a does not open the name of b', 'a opens the name of c'],
  )
  t.is(differences({ holds: {}, opens: {} }, wanted).length, 3)
})

test('the table says what held, and what was late', (t) => {
  const check = {
    name: 'whole',
    outcome: { holds: {}, opens: {} },
    predictedMs: 500,
    boundMs: 21_000,
    differences: [],
  }
  const played = { story: 'small', nodes: 4, ok: false, formedMs: 1, tookMs: 2, logs: null }
  const table = renderPlayed([
    { ...played, checks: [{ ...check, settledMs: 800 }] },
    { ...played, checks: [{ ...check, settledMs: 30_000 }] },
  ])
  t.regex(table, /small +whole +4 +0\.5 +0\.8 +21\.0 +held\n/)
  t.regex(table, /30\.0 +21\.0 +FAILED$/)
})

test('wrong use ends with 2 and one sentence, a list with 0', (t) => {
  const directory = temporaryFolder()
  const file = join(directory, 'mine.json')
  writeFileSync(file, JSON.stringify({ ...small, steps: [{ kind: 'kill', at: 1, node: 'x' }] }))
  const lab = (...args: readonly string[]) =>
    spawnSync(process.execPath, ['--disable-warning=ExperimentalWarning', command, ...args], {
      encoding: 'utf8',
    })
  const listed = lab('--list')
  t.is(listed.status, 0, listed.stderr)
  for (const { name } of STORIES) t.regex(listed.stdout, new RegExp(`^${name} `, 'm'))
  for (const [args, said] of [
    [['nothing-such'], /there is no story "nothing-such"/],
    [[file], /mine\.json is no story: there is no node "x"\n$/],
    [['--seed', '0'], /--seed takes a number from 1/],
    [['--unknown'], /unknown/i],
  ] as const) {
    const { status, stderr } = lab(...args)
    t.is(status, 2, stderr)
    t.regex(stderr, said)
  }
})
