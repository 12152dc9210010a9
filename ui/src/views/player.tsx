import { useSignal } from '@preact/signals'
import { useEffect, useMemo } from 'preact/hooks'
import { createPlayerModel } from '../models/player-model.ts'
import type { PlayerModel, TraceFile } from '../models/player-model.ts'
import { leftOut } from '../models/trace-words.ts'
import { Icon } from '../parts/icon.tsx'
import { PlayerControls } from './player-controls.tsx'
import { PlayerStage } from './player-stage.tsx'
import { PlayerWords } from './player-words.tsx'
import '../styles/table.css'
import '../styles/legend.css'
import '../styles/player.css'

const STILL = '(prefers-reduced-motion: reduce)'

/** Plays a trace of the simulator: a file of this machine, which stays on it. */
export function Player() {
  const player = useMemo(
    () =>
      createPlayerModel({
        frame(callback) {
          const id = requestAnimationFrame(callback)
          return () => cancelAnimationFrame(id)
        },
        isMotionReduced: () => matchMedia(STILL).matches,
      }),
    [],
  )
  useEffect(() => () => player.close(), [player])
  const dragged = useSignal(false)
  const drop = (event: DragEvent): void => {
    event.preventDefault()
    dragged.value = false
    const file = event.dataTransfer?.files[0]
    if (file) void player.open(traceFile(file))
  }
  const state = player.state.value
  return (
    <div
      class={dragged.value ? 'player dragged' : 'player'}
      onDragOver={(event) => {
        event.preventDefault()
        dragged.value = true
      }}
      onDragLeave={() => (dragged.value = false)}
      onDrop={drop}
    >
      <header class="page">
        <div>
          <h1>Player</h1>
          <p class="muted">
            {state === null
              ? 'what happened in a run of the simulator'
              : `${player.name.value}: ${state.trace.scenario}, seed ${state.trace.seed}, ${state.trace.nodes} nodes`}
          </p>
        </div>
        {state === null ? null : <Chooser player={player} label="Open another" />}
      </header>
      <Messages player={player} />
      {state === null ? (
        <Start player={player} />
      ) : (
        <>
          <PlayerControls player={player} trace={state.trace} />
          <PlayerStage player={player} state={state} />
          <PlayerWords player={player} state={state} />
        </>
      )}
    </div>
  )
}

function Start({ player }: { player: PlayerModel }) {
  return (
    <div class="empty">
      <h2>Open a trace</h2>
      <p>
        Make one with the simulator, then choose the file or drop it here. It does not leave this browser.
      </p>
      <p>
        <code>npm run sim -- kill-one --nodes 20 --trace kill.ndjson</code>
      </p>
      <Chooser player={player} label="Choose a file" />
    </div>
  )
}

function Chooser({ player, label }: { player: PlayerModel; label: string }) {
  return (
    <label class="chooser">
      <Icon name="open" /> {label}
      <input
        type="file"
        class="hidden"
        accept=".ndjson,.jsonl,.json,.txt,application/x-ndjson"
        onChange={(event) => {
          const file = event.currentTarget.files?.[0]
          if (file) void player.open(traceFile(file))
          // The same file can be chosen again, after it was written anew.
          event.currentTarget.value = ''
        }}
      />
    </label>
  )
}

/** How the reading goes, why a file could not be read, what of it was left out. */
function Messages({ player }: { player: PlayerModel }) {
  const state = player.state.value
  const texts = state === null ? [] : leftOut(state.trace)
  return (
    <>
      <p role="status" class="muted reading">
        {player.progress.value ?? ''}
      </p>
      {player.failure.value === '' ? null : (
        <div class="problem" role="alert">
          <Icon name="warning" />
          <p>{player.failure.value}</p>
        </div>
      )}
      {texts.length === 0 ? null : (
        <div class="banner" role="status">
          <Icon name="warning" />
          <div>
            {texts.map((text) => (
              <p key={text}>{text}</p>
            ))}
          </div>
        </div>
      )}
    </>
  )
}

function traceFile(file: File): TraceFile {
  return {
    name: file.name,
    size: file.size,
    async *pieces() {
      const reader = file.stream().pipeThrough(new TextDecoderStream()).getReader()
      try {
        for (;;) {
          const { done, value } = await reader.read()
          if (done) return
          yield value
        }
      } finally {
        await reader.cancel()
      }
    },
  }
}
