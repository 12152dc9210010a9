import { HELD_NAMES, STEP } from './trace.ts'
import type { HeldName } from './trace.ts'
import type { TraceState } from './trace-state.ts'
import { STROKES_MAX } from './trace-limits.ts'

/** The part of a canvas that is drawn on. */
export type Pen = Pick<
  CanvasRenderingContext2D,
  | 'clearRect'
  | 'fillRect'
  | 'fillText'
  | 'beginPath'
  | 'moveTo'
  | 'lineTo'
  | 'arc'
  | 'stroke'
  | 'fill'
  | 'fillStyle'
  | 'strokeStyle'
  | 'lineWidth'
  | 'globalAlpha'
  | 'font'
  | 'textAlign'
  | 'textBaseline'
>

/** Colours as the browser resolved them. */
export type Palette = Readonly<
  Record<'ink' | 'muted' | 'line' | 'ok' | 'warning' | 'bad' | 'info' | 'accent', string>
>

/** More names than this run into each other. */
const LABELS_MAX = 60
/** A message is seen for so long of the viewer's time. */
const STROKE_MS = 250
const FULL_TURN = 2 * Math.PI

/** Places of `count` nodes on a circle in a square of `size`, the first at the top. */
export function placesOn(size: number, count: number): { x: number; y: number }[] {
  const middle = size / 2
  const radius = middle - 26
  return Array.from({ length: count }, (_, i) => {
    const angle = (i / Math.max(1, count)) * FULL_TURN - Math.PI / 2
    return { x: middle + radius * Math.cos(angle), y: middle + radius * Math.sin(angle) }
  })
}

/** Messages seen at a time: those of the last moment, the newest last, at most `STROKES_MAX`. */
export function strokesAt(
  state: TraceState,
  timeMs: number,
  speed: number,
): { from: number; to: number; age: number }[] {
  const { steps } = state.trace
  const spanMs = STROKE_MS * speed
  const strokes: { from: number; to: number; age: number }[] = []
  for (let i = state.index - 1; i >= 0 && strokes.length < STROKES_MAX; i--) {
    const ageMs = timeMs - (steps.atMs[i] ?? 0)
    if (ageMs > spanMs) break
    if (steps.type[i] === STEP.frame)
      strokes.push({ from: steps.other[i] ?? 0, to: steps.node[i] ?? 0, age: Math.max(0, ageMs) / spanMs })
  }
  return strokes.reverse()
}

/**
 * The nodes on a circle. A filled disc is up, a ring with a cross is down, a square is cut off, a dot is not there yet. A
 * full line is a link both ends have, a faint one a link only one of them has.
 */
export function drawCircle(
  pen: Pen,
  size: number,
  palette: Palette,
  given: { state: TraceState; timeMs: number; speed: number; areMessagesShown: boolean },
): void {
  const { state, timeMs } = given
  const { nodes } = state.trace
  const places = placesOn(size, nodes)
  pen.clearRect(0, 0, size, size)
  drawLinks(pen, palette, state, places)
  if (given.areMessagesShown) drawStrokes(pen, palette, strokesAt(state, timeMs, given.speed), places)
  const radius = Math.max(2.5, Math.min(9, (size * 0.9) / Math.max(1, nodes)))
  pen.lineWidth = Math.max(1.5, radius / 4)
  pen.font = '11px system-ui, sans-serif'
  pen.textAlign = 'center'
  pen.textBaseline = 'middle'
  for (const [index, nodeState] of state.nodeStates(timeMs).entries()) {
    const place = places[index]
    if (place === undefined) continue
    const { x, y } = place
    drawNode(pen, palette, nodeState, x, y, radius)
    if (nodes > LABELS_MAX) continue
    const out = 1 + 17 / (size / 2 - 26)
    pen.fillStyle = palette.muted
    pen.fillText(String(index), size / 2 + (x - size / 2) * out, size / 2 + (y - size / 2) * out)
  }
}

type Places = readonly { readonly x: number; readonly y: number }[]

function drawLinks(pen: Pen, palette: Palette, { links, trace }: TraceState, places: Places): void {
  const { nodes } = trace
  pen.lineWidth = 1
  for (const [isWhole, color, alpha] of [
    [false, palette.warning, 0.5],
    [true, palette.muted, nodes > LABELS_MAX ? 0.25 : 0.45],
  ] as const) {
    pen.strokeStyle = color
    pen.globalAlpha = alpha
    pen.beginPath()
    for (let a = 0; a < nodes; a++) {
      for (let b = a + 1; b < nodes; b++) {
        const ends = (links[a * nodes + b] ?? 0) + (links[b * nodes + a] ?? 0)
        if (ends === (isWhole ? 2 : 1)) line(pen, places[a], places[b])
      }
    }
    pen.stroke()
  }
  pen.globalAlpha = 1
}

function drawStrokes(
  pen: Pen,
  palette: Palette,
  strokes: readonly { from: number; to: number; age: number }[],
  places: Places,
): void {
  pen.strokeStyle = palette.accent
  pen.lineWidth = 2
  for (const { from, to, age } of strokes) {
    const [start, end] = [places[from], places[to]]
    if (start === undefined || end === undefined) continue
    // A piece of the way, further on the older it is.
    const [tail, head] = [Math.min(1, age), Math.min(1, age + 0.3)]
    const at = (part: number) => ({
      x: start.x + (end.x - start.x) * part,
      y: start.y + (end.y - start.y) * part,
    })
    pen.globalAlpha = 1 - age * 0.7
    pen.beginPath()
    line(pen, at(tail), at(head))
    pen.stroke()
  }
  pen.globalAlpha = 1
}

function line(pen: Pen, from: Places[number] | undefined, to: Places[number] | undefined): void {
  if (from === undefined || to === undefined) return
  pen.moveTo(from.x, from.y)
  pen.lineTo(to.x, to.y)
}

function drawNode(
  pen: Pen,
  palette: Palette,
  state: 'none' | 'up' | 'down' | 'cut',
  x: number,
  y: number,
  radius: number,
): void {
  if (state === 'cut') {
    pen.fillStyle = palette.warning
    pen.fillRect(x - radius, y - radius, 2 * radius, 2 * radius)
    return
  }
  pen.beginPath()
  pen.arc(x, y, state === 'none' ? radius / 2 : radius, 0, FULL_TURN)
  if (state !== 'down') {
    pen.fillStyle = state === 'up' ? palette.ok : palette.muted
    pen.fill()
    return
  }
  pen.strokeStyle = palette.bad
  pen.stroke()
  pen.beginPath()
  line(pen, { x: x - radius / 2, y: y - radius / 2 }, { x: x + radius / 2, y: y + radius / 2 })
  line(pen, { x: x + radius / 2, y: y - radius / 2 }, { x: x - radius / 2, y: y + radius / 2 })
  pen.stroke()
}

const HELD_COLORS: Readonly<Record<HeldName, keyof Palette>> = {
  nothing: 'line',
  alive: 'ok',
  suspect: 'warning',
  dead: 'bad',
  left: 'muted',
  unknown: 'info',
}

/** Who holds whom as what: a row for each node that looks, a column for each that is looked at. */
export function drawMatrix(pen: Pen, size: number, palette: Palette, state: TraceState): void {
  const { nodes } = state.trace
  const { held } = state
  const cell = size / Math.max(1, nodes)
  // A gap between cells that are large enough to have one.
  const inner = cell > 5 ? cell - 1 : cell
  pen.clearRect(0, 0, size, size)
  for (const [how, name] of HELD_NAMES.entries()) {
    pen.fillStyle = palette[HELD_COLORS[name]]
    pen.globalAlpha = name === 'alive' ? 0.55 : name === 'nothing' ? 0.35 : 1
    for (let row = 0; row < nodes; row++) {
      // Equal neighbours in a row are one stroke: most of a matrix is.
      for (let column = 0; column < nodes; column++) {
        if ((held[row * nodes + column] ?? 0) !== how) continue
        let end = column + 1
        if (inner === cell) while (end < nodes && (held[row * nodes + end] ?? 0) === how) end++
        pen.fillRect(column * cell, row * cell, (end - column - 1) * cell + inner, inner)
        column = end - 1
      }
    }
  }
  pen.globalAlpha = 1
}

/** The cell of the matrix under a point; undefined outside. */
export function cellAt(
  size: number,
  nodes: number,
  x: number,
  y: number,
): { row: number; column: number } | undefined {
  const [row, column] = [Math.floor((y / size) * nodes), Math.floor((x / size) * nodes)]
  return row >= 0 && column >= 0 && row < nodes && column < nodes ? { row, column } : undefined
}
