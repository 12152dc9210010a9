import { useSignal, useSignalEffect } from '@preact/signals'
import { useEffect, useMemo, useRef } from 'preact/hooks'
import type { RefObject } from 'preact'
import { useApp } from '../context.ts'
import type { PlayerModel } from '../models/player-model.ts'
import { cellAt, drawCircle, drawMatrix } from '../models/trace-drawing.ts'
import type { Palette, Pen } from '../models/trace-drawing.ts'
import type { TraceState } from '../models/trace-state.ts'
import { cellText, summaryOf } from '../models/trace-words.ts'

/** Side of the canvases in their own units; the page scales them. */
const SIZE = 560
/** More pixels than this a point cost time and are not seen. */
const DENSITY_MAX = 2
const INKS = ['ink', 'muted', 'line', 'ok', 'warning', 'bad', 'info', 'accent'] as const

/** The two pictures: the nodes on a circle, and who holds whom as what. The words below say the same. */
export function PlayerStage({ player, state }: { player: PlayerModel; state: TraceState }) {
  const { theme } = useApp()
  const inks = useRef<HTMLDivElement>(null)
  const circle = useRef<HTMLCanvasElement>(null)
  const matrix = useRef<HTMLCanvasElement>(null)
  const drawn = useRef<readonly unknown[]>([])
  const scheme = useSignal(0)
  // Sharp on screens with more pixels than points.
  const side = useMemo(() => Math.round(SIZE * Math.min(DENSITY_MAX, Math.max(1, devicePixelRatio))), [])
  const under = useSignal('')
  useEffect(() => {
    const dark = matchMedia('(prefers-color-scheme: dark)')
    const onChange = (): void => void scheme.value++
    dark.addEventListener('change', onChange)
    return () => dark.removeEventListener('change', onChange)
  }, [])
  useSignalEffect(() => {
    // What the pictures depend on besides the model.
    void [player.picture.value, theme.theme.value, scheme.value]
    const held = player.state.value
    if (held === null || inks.current === null) return
    const palette = paletteOf(inks.current)
    const areMessagesShown = !matchMedia('(prefers-reduced-motion: reduce)').matches
    const given = { state: held, timeMs: player.timeMs.value, speed: player.speed.value, areMessagesShown }
    paint(circle, (pen) => drawCircle(pen, SIZE, palette, given))
    // Most pictures show the same verdicts as the one before.
    const shown = [held, held.heldVersion, palette.ok]
    if (shown.some((part, i) => part !== drawn.current[i]))
      paint(matrix, (pen) => drawMatrix(pen, SIZE, palette, held))
    drawn.current = shown
  })
  void player.words.value
  const summary = summaryOf(state, player.timeMs.peek())
  return (
    <div class="columns stage">
      <div ref={inks} class="inks" aria-hidden="true">
        {INKS.map((ink) => (
          <i key={ink} class={`ink-${ink}`} />
        ))}
      </div>
      <section class="card" aria-labelledby="nodes">
        <h2 id="nodes">Nodes and links</h2>
        <canvas ref={circle} width={side} height={side} role="img" aria-label={summary} />
        <ul class="legend">
          <li class="ink-ok">● up</li>
          <li class="ink-bad">⊗ down</li>
          <li class="ink-warning">■ cut off</li>
          <li class="ink-muted">— link</li>
          <li class="ink-warning">— link of one end only</li>
          <li class="ink-accent">– message</li>
        </ul>
      </section>
      <section class="card" aria-labelledby="verdicts">
        <h2 id="verdicts">Who holds whom as what</h2>
        <canvas
          ref={matrix}
          width={side}
          height={side}
          role="img"
          aria-label={`A row for each node that looks, a column for each that is looked at. ${summary}`}
          onPointerMove={(event) => {
            const { width } = event.currentTarget.getBoundingClientRect()
            const cell = cellAt(width, state.trace.nodes, event.offsetX, event.offsetY)
            under.value = cell === undefined ? '' : cellText(state, cell.row, cell.column)
          }}
          onPointerLeave={() => (under.value = '')}
        />
        <ul class="legend">
          <li class="ink-ok">■ alive</li>
          <li class="ink-warning">■ suspect</li>
          <li class="ink-bad">■ dead</li>
          <li class="ink-muted">■ left</li>
          <li class="ink-info">■ unknown</li>
        </ul>
        <p class="muted under">
          {under.value || 'Rows look, columns are looked at. Point at a cell to read it.'}
        </p>
      </section>
    </div>
  )
}

function paint(canvas: RefObject<HTMLCanvasElement | null>, draw: (pen: Pen) => void): void {
  const pen = canvas.current?.getContext('2d')
  if (!pen) return
  const density = pen.canvas.width / SIZE
  pen.setTransform(density, 0, 0, density, 0, 0)
  draw(pen)
}

/** A canvas cannot read `light-dark()`, so elements of each colour are asked what it came to. */
function paletteOf(parent: HTMLElement): Palette {
  const colors = INKS.map((ink, i) => {
    const element = parent.children[i]
    return [ink, element === undefined ? '#888' : getComputedStyle(element).color] as const
  })
  return Object.fromEntries(colors) as Palette
}
