import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import test from 'ava'
import fc from 'fast-check'
import { BlobRedaction } from '../../../node/diagnostics/blob-redaction.ts'
import { makePortable, type PortableRecording } from '../../../node/diagnostics/portable-recording.ts'
import { Pseudonyms } from '../../../node/diagnostics/pseudonyms.ts'
import { decodeRecording, encodeRecording } from '../../../node/diagnostics/recording-format.ts'
import type { Root } from '../../../protocols/admission/root.ts'
import { MalformedError } from '../../../protocols/common/errors.ts'
import { sha256 } from '../../../protocols/common/signing.ts'
import { step } from '../../../protocols/membership/machine.ts'
import type { Recording } from '../../../protocols/membership/recorder.ts'
import { readReport } from '../../../simulations/replay/read.ts'
import { recordMachines } from '../../../simulations/replay/recorded-machine.ts'
import { replay } from '../../../simulations/replay/replay.ts'
import { replayReport } from '../../../simulations/replay/show.ts'
import { SimulationError } from '../../../simulations/scenarios/errors.ts'
import { NAMED } from '../../../simulations/scenarios/index.ts'
import { randomScenario } from '../../../simulations/scenarios/random.ts'
import { runScenario } from '../../../simulations/scenarios/run.ts'
import type { Scenario } from '../../../simulations/scenarios/schema.ts'
import type { SimNode } from '../../../simulations/world/node.ts'
import { MACHINE } from '../../../simulations/world/world.ts'
import { temporaryFolder } from '../../temporary-folder.ts'

const SALT = sha256(Uint8Array.of(7))
/** Recordings of a run that are replayed: every so many-th, half of them without names. */
const EVERY = 3

function finish<T>(parts: Generator<undefined, T>): T {
  for (;;) {
    const { done, value } = parts.next()
    if (done === true) return value
  }
}

/** As a file holds it. */
function asJson(recording: Recording, root: Root, isRedacted: boolean): unknown {
  const redaction = isRedacted ? new BlobRedaction(new Pseudonyms(SALT), root.meshId) : null
  const encoded = finish(encodeRecording(finish(makePortable(recording, root, redaction))))
  return JSON.parse(JSON.stringify(encoded))
}

/** Small stretches, so that recordings begin in the middle. */
const SMALL = { eventsMax: 500, bytesMax: 60_000 }

/** Names and addresses of simulated nodes. */
const NAMES = /node-\d|memory/

/** The JSON with everything in base64 as it is. */
function withoutBase64(json: unknown): string {
  return JSON.stringify(json).replaceAll(/"([A-Za-z0-9+/]{4,}={0,2})"/g, (_all, blob: string) =>
    Buffer.from(blob, 'base64').toString('latin1'),
  )
}

function run(
  scenario: Scenario,
  seed: string,
  limits: typeof SMALL | undefined = SMALL,
): { root: Root; recordings: Recording[] } {
  let root: Root | undefined
  const recorded = recordMachines(
    {
      ...MACHINE,
      createMembership(config, now) {
        root = config.root
        return MACHINE.createMembership(config, now)
      },
    },
    limits,
  )
  const nodes = new Map<string, SimNode>()
  const started = (node: SimNode): void => void nodes.set(node.id, node)
  runScenario(scenario, { seed, machine: recorded.machine, watcher: { started } })
  // Liars of the simulator reach into their own state.
  const recordings = recorded.recordings().filter(({ final }) => nodes.get(final.self.id)?.isHonest === true)
  return { root: root as Root, recordings }
}

const named = (name: string, nodes: number): Scenario => ({
  ...(NAMED.find((scenario) => scenario.name === name) as Scenario),
  nodes,
})

/** Few nodes, and every kind of trouble a step can have to do with. */
const STORIES: readonly (readonly [string, Scenario])[] = [
  ['a random run', randomScenario('2', 12)],
  ['a first boot', named('first-boot', 14)],
  ['a disk rolled back', named('disk-rollback', 9)],
  ['a copied identity', named('cloned-identity', 6)],
  ['a clock behind', named('clock-behind-at-restart', 9)],
  ['a stalled event loop', named('event-loop-stalls', 9)],
  ['a revoked certificate', named('revoked-during-partition', 9)],
  ['a partition', named('partition', 36)],
  ['records rolled back by a member', named('roll-backer', 9)],
  ['an equivocating member', named('equivocator', 9)],
  ['Ed25519', named('kill-one-real-crypto', 6)],
]

for (const [story, scenario] of STORIES) {
  test(`what nodes recorded leads to the same state again: ${story}`, (t) => {
    t.timeout(60_000)
    const { root, recordings } = run(scenario, '1')
    t.true(recordings.length >= scenario.nodes - 2)
    const step = Math.max(EVERY, Math.floor(recordings.length / 6))
    for (let i = 0; i < recordings.length; i += step) {
      const recording = recordings[i] as Recording
      const isRedacted = (i / step) % 2 === 0
      const json = asJson(recording, root, isRedacted)
      if (isRedacted) t.notRegex(withoutBase64(json), NAMES)
      else if (i === step) t.regex(withoutBase64(json), NAMES)
      const replayed = replay(decodeRecording(json))
      t.is(replayed.difference, null, `recording ${i}: ${JSON.stringify(replayed.difference)}`)
      t.is(replayed.steps, recording.steps.length)
      t.true(replayed.steps > 20)
    }
  })
}

/** A recording with something in it, and its JSON, which each caller may change. */
const KILLED = run(named('kill-one-real-crypto', 5), '1')
const RESTORED = run(named('disk-rollback', 6), '1', { eventsMax: 10_000, bytesMax: 1_000_000 })
const reportOf = (membership: unknown): Record<string, unknown> => ({
  format: 'kith-bugreport',
  version: 1,
  createdAt: 1_800_000_000_000,
  redacted: true,
  kith: '0.0.0',
  platform: { os: 'linux' },
  membership,
})

test('a replay says at which step it went another way, and why', (t) => {
  const whole = decodeRecording(asJson(RESTORED.recordings[0] as Recording, RESTORED.root, true))
  const at = (found: (step: PortableRecording['steps'][number]) => boolean): number =>
    whole.steps.findIndex((each) => found(each))
  const change = (
    index: number,
    to: (step: PortableRecording['steps'][number]) => object,
  ): PortableRecording => ({
    ...whole,
    steps: whole.steps.map((each, i) => (i === index ? { ...each, ...to(each) } : each)),
  })
  const drawing = at(({ answers }) => answers.random.length > 0)
  const signing = at(({ answers }) => answers.signed.length > 0)
  const asking = at(({ answers }) => answers.reachable.length > 0)
  t.true(Math.min(drawing, signing, asking) > 0, `${drawing} ${signing} ${asking} of ${whole.steps.length}`)
  const answers = (index: number, changed: object): PortableRecording =>
    change(index, (each) => ({ answers: { ...each.answers, ...changed } }))
  const cases: [string, number, PortableRecording][] = [
    ['random', drawing, answers(drawing, { random: [] })],
    [
      'random',
      drawing,
      answers(drawing, { random: [...(whole.steps[drawing]?.answers.random ?? []), SALT] }),
    ],
    ['signature', signing, answers(signing, { signed: [] })],
    ['signature', signing, answers(signing, { signed: [{ digest: SALT, signature: new Uint8Array(64) }] })],
    ['answers', asking, answers(asking, { reachable: [] })],
    ['answers', 0, answers(0, { unverified: [99] })],
    ['effects', 5, change(5, () => ({ effects: 12_345 }))],
    ['state', whole.steps.length, { ...whole, final: { ...whole.final, gossipDropped: 77 } }],
  ]
  for (const [what, index, recording] of cases) t.like(replay(recording).difference, { what, step: index })
  t.regex(replay(cases[7]?.[2] as PortableRecording).difference?.text ?? '', /^gossipDropped \(77, here 0\)/)
  const broken = replay(whole, {
    run: (state, event, now) => {
      if (event.type === 'tick') throw new Error('planted')
      return step(state, event, now)
    },
  })
  t.like(broken.difference, { what: 'crash' })
})

test('a replay stops where it is told, and leaves a trace the player reads', (t) => {
  const folder = temporaryFolder()
  const file = join(folder, 'report.json')
  writeFileSync(file, JSON.stringify(reportOf(asJson(KILLED.recordings[0] as Recording, KILLED.root, true))))
  const read = readReport(file)
  if (read === null) return t.fail('not recognised')
  const part = replayReport(read, { until: 30 })
  t.is(part.document.steps, 30)
  t.false(part.document.same)
  t.true(part.isSame)
  const trace = join(folder, 'trace.ndjson')
  const whole = replayReport(read, { trace })
  t.true(whole.document.same)
  t.regex(whole.text, /\nsame state$/)
  t.is(whole.document.members.filter(({ state }) => state === 'dead').length, 1)
  t.is(whole.document.members.filter(({ state }) => state === 'self').length, 1)
  const lines = readFileSync(trace, 'utf8')
    .trim()
    .split('\n')
    .map(
      (line) => JSON.parse(line) as { kind: string; node?: number; id?: string; said?: string; as?: string },
    )
  t.like(lines[0], { kind: 'trace', version: 1, nodes: 5 })
  t.like(lines[1], { kind: 'node', node: 0, id: whole.document.node })
  t.is(lines.filter(({ kind }) => kind === 'node').length, 5)
  t.true(lines.some(({ kind, as }) => kind === 'holds' && as === 'dead'))
  t.true(lines.some(({ kind, said }) => kind === 'said' && said === 'member.died'))
  t.true(lines.filter(({ kind }) => kind === 'frame').length > 50)
})

test('a file that is damaged, foreign or without a recording is refused', (t) => {
  const folder = temporaryFolder()
  const write = (content: string | Uint8Array): string => {
    const path = join(folder, 'file')
    writeFileSync(path, content)
    return path
  }
  t.is(readReport(write('{"seed":"1","scenario":{}}')), null, 'a failure’s file is none of ours')
  const refused: [string, string | Uint8Array][] = [
    ['no JSON', '{"format":"kith-bugreport", broken'],
    ['another version', JSON.stringify({ ...reportOf(null), version: 2 })],
    ['in no mesh', JSON.stringify(reportOf(null))],
    ['no recording', JSON.stringify(reportOf({ steps: [] }))],
    ['no gzip', Uint8Array.of(0x1f, 0x8b, 1, 2, 3)],
  ]
  for (const [what, content] of refused)
    t.throws(() => readReport(write(content)), { instanceOf: SimulationError }, what)
  t.throws(() => readReport(join(folder, 'missing')), { instanceOf: SimulationError })
  t.throws(() => readReport(write(JSON.stringify(reportOf({ steps: [] })))), {
    message: /of Kith 0\.0\.0, replay it with/,
  })
})

/** Puts `value` at a random place of a JSON document. */
function mutate(document: unknown, path: readonly number[], value: unknown): unknown {
  const [first = 0, ...rest] = path
  if (typeof document !== 'object' || document === null) return value
  const copy: Record<string, unknown> = Array.isArray(document) ? ([...document] as never) : { ...document }
  const keys = Object.keys(copy)
  const key = keys[first % Math.max(1, keys.length)]
  if (key === undefined || path.length === 0) return value
  copy[key] = mutate(copy[key], rest, value)
  return copy
}

test('whatever stands in a recording, reading and replaying it throws nothing but that it is malformed', (t) => {
  t.timeout(60_000)
  const { steps, ...rest } = asJson(KILLED.recordings[0] as Recording, KILLED.root, true) as {
    steps: unknown[]
  }
  const json = { ...rest, steps: steps.slice(0, 40) }
  const tries = (value: unknown): boolean => {
    try {
      replay(decodeRecording(value))
      return true
    } catch (error) {
      if (error instanceof MalformedError) return false
      throw error
    }
  }
  fc.assert(
    fc.property(fc.anything(), (value) => !tries(value)),
    { numRuns: 200 },
  )
  const odd = fc.oneof(
    fc.constantFrom(null, '', 0, -1, 1e300, [], {}, 'AAAA', true, Number.MAX_SAFE_INTEGER),
    fc.uint8Array({ maxLength: 64 }).map((bytes) => Buffer.from(bytes).toString('base64')),
  )
  let replayed = 0
  fc.assert(
    fc.property(fc.array(fc.nat(200), { minLength: 1, maxLength: 8 }), odd, (path, value) => {
      if (tries(mutate(json, path, value))) replayed++
    }),
    { numRuns: 150 },
  )
  t.true(replayed > 0)
})
