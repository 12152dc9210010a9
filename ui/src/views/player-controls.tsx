import { useEffect } from 'preact/hooks'
import { SPEEDS } from '../models/player-model.ts'
import type { PlayerModel } from '../models/player-model.ts'
import type { Trace, TraceFault } from '../models/trace.ts'
import { faultText, seconds } from '../models/trace-words.ts'

/** One press of an arrow on the slider. */
const SCRUB_MS = 100
/** Faults that get a button; those of a churn of hundreds stay marks. */
const FAULTS_SHOWN_MAX = 40

/** Play, step, speed, and the time line with the faults on it. */
export function PlayerControls({ player, trace }: { player: PlayerModel; trace: Trace }) {
  useKeys(player)
  const isPlaying = player.isPlaying.value
  const time = player.timeMs.value
  return (
    <section class="card controls-card" aria-label="Playing">
      <div class="row">
        <button type="button" class="primary" onClick={() => player.toggle()} aria-keyshortcuts="Space">
          <PlayerIcon name={isPlaying ? 'pause' : 'play'} />
          {isPlaying ? 'Pause' : 'Play'}
        </button>
        <button
          type="button"
          onClick={() => player.step(-1)}
          aria-label="One change back"
          aria-keyshortcuts=","
        >
          <PlayerIcon name="back" />
        </button>
        <button type="button" onClick={() => player.step(1)} aria-label="One change on" aria-keyshortcuts=".">
          <PlayerIcon name="on" />
        </button>
        <select
          aria-label="Speed"
          value={player.speed.value}
          onChange={(event) => player.setSpeed(Number(event.currentTarget.value))}
        >
          {SPEEDS.map((speed) => (
            <option key={speed} value={speed}>
              {speed} ×
            </option>
          ))}
        </select>
        <output class="number clock">
          {seconds(time)} <span class="muted">of {seconds(trace.endMs)}</span>
        </output>
      </div>
      <Marks faults={trace.faults} endMs={trace.endMs} />
      <input
        type="range"
        class="scrub"
        aria-label="Time"
        aria-valuetext={seconds(time)}
        min={0}
        max={trace.endMs}
        step={SCRUB_MS}
        value={time}
        onInput={(event) => {
          player.pause()
          player.goTo(event.currentTarget.valueAsNumber)
        }}
      />
      {trace.faults.length === 0 ? (
        <p class="muted">There are no faults in this run.</p>
      ) : (
        <ul class="faults" aria-label="Faults">
          {trace.faults.slice(0, FAULTS_SHOWN_MAX).map((fault) => (
            <li key={`${fault.atMs} ${fault.fault} ${fault.nodes[0]}`}>
              <button type="button" class="quiet" onClick={() => player.goTo(fault.atMs)}>
                <span class="number">{seconds(fault.atMs)}</span> {faultText(fault)}
              </button>
            </li>
          ))}
        </ul>
      )}
      <p class="muted keys">
        Keys: <kbd>Space</kbd> plays and pauses, <kbd>,</kbd> and <kbd>.</kbd> step, <kbd>←</kbd> and{' '}
        <kbd>→</kbd> move a second, <kbd>+</kbd> and <kbd>−</kbd> change the speed, <kbd>Home</kbd> and{' '}
        <kbd>End</kbd> jump.
      </p>
    </section>
  )
}

const ICONS = {
  play: 'M7 4.5v15l12-7.5z',
  pause: 'M8 5v14M16 5v14',
  back: 'M17 5 8 12l9 7zM6 5v14',
  on: 'm7 5 9 7-9 7zM18 5v14',
} as const

/** Apart from the icons of the shell, which everybody loads. */
function PlayerIcon({ name }: { name: keyof typeof ICONS }) {
  return (
    <svg class="icon" viewBox="0 0 24 24" aria-hidden="true">
      <path d={ICONS[name]} />
    </svg>
  )
}

/** Where on the time line faults begin and end. The list below says the same in words. */
function Marks({ faults, endMs }: { faults: readonly TraceFault[]; endMs: number }) {
  const at = (ms: number): number => (endMs === 0 ? 0 : (Math.min(ms, endMs) / endMs) * 1000)
  return (
    <svg class="marks" viewBox="0 0 1000 10" preserveAspectRatio="none" aria-hidden="true">
      {faults.map((fault, i) => (
        <rect
          key={i}
          x={at(fault.atMs)}
          y={fault.untilMs === null ? 0 : 3}
          width={Math.max(3, at(fault.untilMs ?? fault.atMs) - at(fault.atMs))}
          height={fault.untilMs === null ? 10 : 7}
          class={fault.untilMs === null ? 'mark' : 'mark span'}
        />
      ))}
    </svg>
  )
}

/** Keys of the whole page, as long as nothing else wants them. */
function useKeys(player: PlayerModel): void {
  useEffect(() => {
    const acts: Readonly<Record<string, () => void>> = {
      ' ': () => player.toggle(),
      ',': () => player.step(-1),
      '.': () => player.step(1),
      '+': () => player.faster(),
      '-': () => player.slower(),
      ArrowLeft: () => player.goTo(player.timeMs.value - 1000),
      ArrowRight: () => player.goTo(player.timeMs.value + 1000),
      Home: () => player.goTo(0),
      End: () => player.goTo(player.endMs.value),
    }
    const onKey = (event: KeyboardEvent): void => {
      const act = Object.hasOwn(acts, event.key) ? acts[event.key] : undefined
      const isTaken =
        event.ctrlKey ||
        event.metaKey ||
        event.altKey ||
        (event.target instanceof Element &&
          event.target.closest('input, select, button, a, textarea') !== null)
      if (act === undefined || isTaken) return
      event.preventDefault()
      act()
    }
    addEventListener('keydown', onKey)
    return () => removeEventListener('keydown', onKey)
  }, [player])
}
