import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import test from 'ava'
import fc from 'fast-check'
import type { Process } from '../../simulations/world/node.ts'
import { createPlayerModel } from '../../ui/src/models/player-model.ts'
import { HELD_NAMES, type HeldName, type Trace } from '../../ui/src/models/trace.ts'
import { cellAt, drawCircle, drawMatrix, placesOn, strokesAt } from '../../ui/src/models/trace-drawing.ts'
import type { Palette, Pen } from '../../ui/src/models/trace-drawing.ts'
import {
  KEYFRAME_STEPS,
  LINE_LENGTH_MAX,
  LINES_MAX,
  NODES_MAX,
  STROKES_MAX,
} from '../../ui/src/models/trace-limits.ts'
import { TraceError } from '../../ui/src/models/trace-line.ts'
import { TraceReader } from '../../ui/src/models/trace-reader.ts'
import { TraceState } from '../../ui/src/models/trace-state.ts'
import {
  cellText,
  faultText,
  lastSaid,
  leftOut,
  nodeRows,
  sayingText,
  summaryOf,
} from '../../ui/src/models/trace-words.ts'
import { writeTrace } from './traced-run.ts'
import { temporaryFolder } from '../temporary-folder.ts'

const HEADER =
  '{"kind":"trace","version":1,"scenario":"two","seed":"1","nodes":3,"seconds":9,"start":"formed"}'
/** Each kind of line once or more, as `simulations/README.md` shows them. */
const LINES = [
  HEADER,
  '{"kind":"start","number":0,"from":-1,"to":0,"atMs":0,"sizeBytes":0}',
  '{"kind":"start","number":1,"from":-1,"to":1,"atMs":0,"sizeBytes":0}',
  '{"kind":"node","node":0,"id":"id-0"}',
  '{"kind":"node","node":1,"id":"id-1"}',
  '{"kind":"tick","number":2,"from":-1,"to":1,"atMs":5,"sizeBytes":0}',
  '{"kind":"linkUp","number":3,"from":0,"to":1,"atMs":10,"sizeBytes":0}',
  '{"kind":"linkUp","number":4,"from":1,"to":0,"atMs":12,"sizeBytes":0}',
  '{"kind":"frame","number":5,"from":1,"to":0,"atMs":20,"sizeBytes":99}',
  '{"kind":"fault","number":6,"from":-1,"to":1,"atMs":1000,"sizeBytes":1}',
  '{"kind":"affects","fault":"partition","nodes":[1],"atMs":1000,"untilMs":2000}',
  '{"kind":"dialFailed","number":7,"from":-1,"to":0,"atMs":1500,"sizeBytes":1}',
  '{"kind":"said","node":0,"said":"member.suspected","peer":"id-1","reason":"accused","atMs":1600}',
  '{"kind":"holds","node":0,"of":1,"as":"suspect","atMs":1600}',
  '{"kind":"linkDown","number":8,"from":1,"to":0,"atMs":1700,"sizeBytes":0}',
  '{"kind":"stored","number":9,"from":-1,"to":0,"atMs":1700,"sizeBytes":0}',
  '{"kind":"affects","fault":"kill","nodes":[1],"atMs":2500,"untilMs":null}',
  '{"kind":"stop","number":10,"from":-1,"to":1,"atMs":2500,"sizeBytes":0}',
  '{"kind":"start","number":11,"from":-1,"to":1,"atMs":3000,"sizeBytes":2}',
  '{"kind":"table","node":1,"holds":{"alive":[0],"dead":[2]},"atMs":3000}',
]

function read(text: string, pieceLength = text.length): Trace {
  const reader = new TraceReader()
  for (let i = 0; i < text.length; i += Math.max(1, pieceLength))
    if (!reader.push(text.slice(i, i + Math.max(1, pieceLength)))) break
  return reader.end()
}

/** The trace of a real run, and how its machines held each other at the end. */
function realTrace(): { text: string; held: (row: number, column: number) => HeldName } {
  const directory = temporaryFolder()
  const path = join(directory, 'trace.ndjson')
  const processes = new Map<number, Process>()
  const ids = new Map<number, string>()
  const faults = [
    { at: 8, kind: 'partition', select: { share: 0.3 }, until: 25 },
    { at: 10, kind: 'kill', select: { indices: [3] }, until: 30 },
    { at: 40, kind: 'vanish', select: { indices: [5] } },
  ]
  writeTrace(
    path,
    { nodes: 14, seconds: 60, faults },
    {
      started({ index, id, process }) {
        if (process !== null) processes.set(index, process)
        ids.set(index, id)
      },
      stopped: ({ index }) => void processes.delete(index),
    },
  )
  return {
    text: readFileSync(path, 'utf8'),
    held(row, column) {
      const state = processes.get(row)?.state
      const id = ids.get(column) ?? ''
      if (state === undefined || row === column || state.table.get(id) === undefined) return 'nothing'
      return state.verdicts.get(id)?.state ?? 'alive'
    },
  }
}

const real = realTrace()

test('what the player shows at the end of a run is what its machines hold', (t) => {
  const trace = read(real.text, 1000)
  t.deepEqual([trace.problemCount, trace.nodes, trace.isFormed], [0, 14, true])
  t.true(trace.steps.count > (2 * KEYFRAME_STEPS) / 4, `${trace.steps.count} steps`)
  const state = new TraceState(trace)
  state.seek(trace.steps.count)
  for (let row = 0; row < 14; row++)
    for (let column = 0; column < 14; column++)
      t.is(HELD_NAMES[state.held[row * 14 + column] ?? 0], real.held(row, column), `${row} of ${column}`)
  const states = state.nodeStates(trace.endMs)
  t.deepEqual(
    states.flatMap((one, i) => (one === 'up' ? [] : [`${i} ${one}`])),
    ['5 down'],
  )
  t.deepEqual(
    trace.faults.map(({ fault, nodes, atMs, untilMs }) => [fault, nodes.length, atMs, untilMs]),
    [
      ['partition', 4, 8000, 25_000],
      ['kill', 1, 10_000, 30_000],
      ['vanish', 1, 40_000, null],
    ],
  )
  state.seek(state.indexAt(20_000))
  t.is(
    state.nodeStates(20_000).filter((one) => one === 'cut').length,
    trace.faults[0]!.nodes.includes(3) ? 3 : 4,
  )
  t.is(state.nodeStates(20_000)[3], 'down')
  t.true(nodeRows(state, 20_000)[3]!.heldAs.includes('dead'))
})

test('a jump to any place shows what walking there shows', (t) => {
  // Long enough for several copies of the state.
  const more = Array.from({ length: 3 * KEYFRAME_STEPS }, (_, i) => {
    const [node, other] = [i % 3, (i + 1 + (i % 2)) % 3]
    const as = ['alive', 'suspect', 'dead', 'left', 'unknown', 'gone'][Math.floor(i / 7) % 6]
    if (i % 5 === 0) return `{"kind":"holds","node":${node},"of":${other},"as":"${as}","atMs":${4000 + i}}`
    return `{"kind":"${i % 4 < 2 ? 'linkUp' : 'linkDown'}","from":${other},"to":${node},"atMs":${4000 + i}}`
  })
  const trace = read([...LINES, ...more].join('\n'))
  t.is(trace.problemCount, 0)
  const jumping = new TraceState(trace)
  fc.assert(
    fc.property(fc.array(fc.integer({ min: -5, max: trace.steps.count + 5 }), { maxLength: 6 }), (places) => {
      for (const place of places) jumping.seek(place)
      const walking = new TraceState(trace)
      while (walking.index < jumping.index) walking.seek(walking.index + 1)
      t.deepEqual([walking.links, walking.held], [jumping.links, jumping.held])
      t.deepEqual(walking.nodeStates(3), jumping.nodeStates(3))
    }),
    { numRuns: 12 },
  )
})

test('each kind of line means what it says', (t) => {
  const state = new TraceState(read(LINES.join('\n')))
  const { trace } = state
  t.like(trace, { scenario: 'two', nodes: 3, endMs: 3000, lines: 20, problemCount: 0 })
  const at = (ms: number): string[] => {
    state.seek(state.indexAt(ms))
    return [...state.nodeStates(ms), cellText(state, 0, 1), `${state.links[3]}${state.links[1]}`]
  }
  t.deepEqual(at(0), ['up', 'up', 'none', 'node 0 holds node 1 as alive', '00'])
  t.deepEqual(at(11), ['up', 'up', 'none', 'node 0 holds node 1 as alive', '10'], 'a link of one end')
  t.deepEqual(at(1600), ['up', 'cut', 'none', 'node 0 holds node 1 as suspect', '11'])
  t.deepEqual(at(2600), ['up', 'down', 'none', 'node 0 holds node 1 as suspect', '00'])
  t.deepEqual(at(3000), ['up', 'up', 'none', 'node 0 holds node 1 as suspect', '00'])
  t.is(cellText(state, 1, 2), 'node 1 holds node 2 as dead')
  t.is(cellText(state, 1, 1), 'node 1 itself')
  t.is(summaryOf(state, 3000), '2 of 3 nodes up, 0 links. Verdicts: 4 alive, 1 suspect, 1 dead.')
  t.deepEqual(lastSaid(state, 5).map(sayingText), ['node 0: member.suspected about node 1 (accused)'])
  t.deepEqual(trace.faults.map(faultText), ['partition of node 1 until 2.0 s', 'kill of node 1'])
  t.like(nodeRows(state, 3000)[0], { id: 'id-0', links: 0, holds: '1 alive, 1 suspect', heldAs: '2 alive' })
  state.seek(0)
  const steps: number[] = []
  while (state.index < trace.steps.count) {
    state.seek(state.neighbour(1))
    steps.push(state.index)
  }
  t.false(steps.includes(5), 'a frame is no change')
  for (const step of steps.slice(0, -1).toReversed()) {
    state.seek(state.neighbour(-1))
    t.is(state.index, step)
  }
})

test('a line that is malformed is left out and named; a file that is no trace is refused', (t) => {
  const bad: [string, RegExp][] = [
    ['{"kind":"tick","atMs":1', /not JSON/],
    ['[1]', /no JSON object/],
    ['{"kind":"dance","atMs":1}', /no kind “dance”/],
    ['{"kind":"toString","atMs":1}', /no kind/],
    ['{"kind":"start","to":-1,"atMs":1}', /“to” is no whole number/],
    [`{"kind":"start","to":${NODES_MAX},"atMs":1}`, /“to” is no whole number/],
    ['{"kind":"start","to":0,"atMs":1e300}', /“atMs” is no whole number/],
    ['{"kind":"start","to":0,"atMs":0}', /the time goes back from 9 ms to 0 ms/],
    ['{"kind":"holds","node":0,"of":1,"as":"friend","atMs":9}', /nobody is held like that/],
    ['{"kind":"table","node":0,"holds":{"alive":[9999]},"atMs":9}', /names a node that is no/],
    ['{"kind":"table","node":0,"holds":[],"atMs":9}', /“holds” is no object/],
    [`{"kind":"said","node":0,"said":"${'x'.repeat(999)}","atMs":9}`, /no text of up to/],
    ['x'.repeat(LINE_LENGTH_MAX + 1), /longer than/],
  ]
  const begin = [HEADER, '{"kind":"tick","to":0,"atMs":9}']
  for (const [line, message] of bad) {
    const trace = read([...begin, line, '{"kind":"start","to":2,"atMs":9}'].join('\n'), 5000)
    t.is(trace.problemCount, 1, line.slice(0, 80))
    t.is(trace.problems[0]?.line, 3)
    t.regex(trace.problems[0]?.text ?? '', message)
    t.is(trace.steps.count, 1, 'what follows is read')
  }
  const many = read([...begin, ...Array.from({ length: 9 }, () => '{}')].join('\n'))
  t.deepEqual(leftOut(many).slice(-2), [
    'Line 7 is left out: “kind” is no text of up to 200 characters.',
    '4 further lines are left out.',
  ])
  for (const [text, message] of [
    ['', /empty/],
    ['hello', /line 1: it is not JSON/],
    ['{"kind":"tick"}', /line 1: it does not begin/],
    [HEADER.replace('"version":1', '"version":2'), /of the form 2/],
    [HEADER.replace('"nodes":3', `"nodes":${NODES_MAX + 1}`), /shows up to 512/],
    [HEADER.replace('"nodes":3', '"nodes":"3"'), /how many nodes/],
    ['x'.repeat(LINE_LENGTH_MAX * 3), /Line 1 is too long/],
  ] as const)
    t.throws(() => read(text, 4096), { instanceOf: TraceError, message })
})

test('whatever a file holds, and however it is cut into pieces, the reader ends well', (t) => {
  const whole = read(LINES.join('\n'))
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 80 }), (length) => {
      t.deepEqual(read(LINES.join('\n'), length), whole)
    }),
    { numRuns: 20 },
  )
  const lineOf = fc.oneof(
    fc.constantFrom(...LINES),
    fc.string(),
    fc.json(),
    fc
      .tuple(fc.constantFrom(...LINES), fc.nat(120), fc.string({ maxLength: 3 }))
      .map(([line, at, put]) => line.slice(0, at) + put + line.slice(at + put.length)),
  )
  fc.assert(
    fc.property(fc.array(lineOf, { maxLength: 30 }), fc.boolean(), (lines, isBegun) => {
      try {
        const trace = read([...(isBegun ? [HEADER] : []), ...lines].join('\n'), 37)
        const state = new TraceState(trace)
        state.seek(trace.steps.count)
        t.is(nodeRows(state, trace.endMs).length, trace.nodes)
        summaryOf(state, trace.endMs)
      } catch (error) {
        t.true(error instanceof TraceError, String(error))
      }
    }),
    { numRuns: 300 },
  )
})

test('of a file that is too long the beginning is read, and that is said', (t) => {
  const reader = new TraceReader()
  reader.push(`${HEADER}\n`)
  const piece = '{"kind":"tick","to":0,"atMs":1}\n'.repeat(10_000)
  let pieces = 0
  while (reader.push(piece)) pieces++
  t.is(pieces, LINES_MAX / 10_000 - 1)
  const trace = reader.end()
  t.like(trace, { lines: LINES_MAX, isCut: true })
  t.regex(leftOut(trace)[0] ?? '', /first 500,000 lines/)
})

/** A player whose frames the test plays. */
function played(isStill = false) {
  let callback: ((nowMs: number) => void) | undefined
  const player = createPlayerModel({
    frame(given) {
      callback = given
      return () => (callback = undefined)
    },
    isMotionReduced: () => isStill,
  })
  const frameAt = (nowMs: number): void => {
    const given = callback
    callback = undefined
    given?.(nowMs)
  }
  const file = (text: string, name = 'a.ndjson') => ({
    name,
    size: text.length,
    async *pieces() {
      for (let i = 0; i < text.length; i += 50) yield text.slice(i, i + 50)
    },
  })
  return { player, frameAt, file, isWaiting: () => callback !== undefined }
}

test('the player plays at its speed, stops at the end, and begins again', async (t) => {
  const { player, frameAt, file, isWaiting } = played()
  player.play()
  t.false(player.isPlaying.value, 'nothing to play')
  await player.open(file(LINES.join('\n')))
  t.deepEqual([player.name.value, player.endMs.value, player.progress.value], ['a.ndjson', 3000, null])
  player.toggle()
  for (const now of [1000, 1016, 1516]) frameAt(now)
  t.is(player.timeMs.value, 516)
  player.faster()
  t.is(player.speed.value, 2)
  frameAt(1616)
  t.is(player.timeMs.value, 716)
  const words = player.words.value
  frameAt(1620)
  t.is(player.words.value, words, 'words follow twice a second')
  frameAt(9000)
  t.deepEqual([player.timeMs.value, player.isPlaying.value, isWaiting()], [3000, false, false])
  t.is(player.words.value, words + 2, 'and where it stops')
  player.toggle()
  t.is(player.timeMs.value, 0)
  player.step(1)
  t.deepEqual([player.isPlaying.value, player.state.value?.index], [false, 3], 'after the two starts')
  player.goTo(1000)
  player.step(1)
  t.is(player.timeMs.value, 1600)
  player.step(-1)
  player.step(-1)
  t.is(player.timeMs.value, 12)
  player.goTo(-5)
  player.step(-1)
  t.is(player.timeMs.value, 0)
  for (let i = 0; i < 20; i++) player.slower()
  t.is(player.speed.value, 0.1)
  for (let i = 0; i < 20; i++) player.faster()
  t.is(player.speed.value, 1000)
  player.setSpeed(5)
  player.setSpeed(77)
  t.is(player.speed.value, 5)
})

test('with reduced motion the player goes in still pictures, a second apart', async (t) => {
  const { player, frameAt, file } = played(true)
  await player.open(file(LINES.join('\n')))
  player.play()
  const seen = [0, 16, 500, 999, 1000, 1016, 2000].map((now) => (frameAt(now), player.timeMs.value))
  t.deepEqual(seen, [0, 0, 0, 0, 1000, 1000, 2000])
})

test('a file that cannot be read leaves what was open, and the newest of two wins', async (t) => {
  const { player, file } = played()
  await player.open(file('nonsense'))
  t.regex(player.failure.value, /no trace of the simulator/)
  t.is(player.state.value, null)
  await Promise.all([
    player.open(file(LINES.join('\n'), 'first')),
    player.open(file(LINES.join('\n'), 'second')),
  ])
  t.deepEqual([player.name.value, player.failure.value], ['second', ''])
  await player.open(file('nonsense'))
  t.deepEqual([player.name.value, player.state.value?.trace.nodes], ['second', 3])
  const late = player.open(file(LINES.join('\n'), 'third'))
  player.close()
  await late
  t.is(player.name.value, 'second', 'a page that was left reads on no more')
})

/** A pen that writes down what it draws. */
function writing(): { pen: Pen; drawn: [string, ...unknown[]][] } {
  const drawn: [string, ...unknown[]][] = []
  const pen = new Proxy<Record<string, unknown>>(
    {},
    {
      get: (target, name) =>
        name in target
          ? target[String(name)]
          : (...given: unknown[]) => void drawn.push([String(name), target['fillStyle'], ...given]),
      set: (target, name, value) => ((target[String(name)] = value), true),
    },
  )
  return { pen: pen as unknown as Pen, drawn }
}
const PALETTE: Palette = {
  ink: 'ink',
  muted: 'muted',
  line: 'line',
  ok: 'ok',
  warning: 'warning',
  bad: 'bad',
  info: 'info',
  accent: 'accent',
}

test('states are shapes, not only colours, and messages are bounded', (t) => {
  const state = new TraceState(read(LINES.join('\n')))
  const draw = (timeMs: number, areMessagesShown: boolean) => {
    state.seek(state.indexAt(timeMs))
    const { pen, drawn } = writing()
    drawCircle(pen, 500, PALETTE, { state, timeMs, speed: 1, areMessagesShown })
    return drawn.map(([name]) => name)
  }
  const count = (names: readonly string[], wanted: string): number =>
    names.filter((name) => name === wanted).length
  t.is(count(draw(1600, false), 'fillRect'), 1, 'cut off: a square')
  t.is(count(draw(2600, false), 'fillRect'), 0)
  t.is(count(draw(2600, false), 'fill'), 2, 'up and not yet there: filled')
  t.is(count(draw(25, true), 'stroke') - count(draw(25, false), 'stroke'), 1, 'one message')
  t.is(count(draw(400, true), 'stroke') - count(draw(400, false), 'stroke'), 0, 'gone')
  const busy = new TraceState(
    read(
      [HEADER, ...Array.from({ length: 900 }, () => '{"kind":"frame","from":0,"to":1,"atMs":1}')].join('\n'),
    ),
  )
  busy.seek(900)
  t.is(strokesAt(busy, 1, 1).length, STROKES_MAX)

  state.seek(state.trace.steps.count)
  const { pen, drawn } = writing()
  drawMatrix(pen, 90, PALETTE, state)
  const cells = drawn.filter(([name]) => name === 'fillRect')
  t.is(cells.length, 9)
  t.deepEqual(
    cells
      .filter(([, color]) => color === 'warning' || color === 'bad')
      .map(([, color, x, y]) => [color, x, y]),
    [
      ['warning', 30, 0],
      ['bad', 60, 30],
    ],
  )
  t.deepEqual(cellAt(90, 3, 31, 1), { row: 0, column: 1 })
  t.is(cellAt(90, 3, 90, 1), undefined)
  t.deepEqual(
    placesOn(100, 2).map(({ x, y }) => [Math.round(x), Math.round(y)]),
    [
      [50, 26],
      [50, 74],
    ],
  )
})
