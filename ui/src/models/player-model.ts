import { batch, computed, signal } from '@preact/signals'
import { formatBytes } from './format.ts'
import { TraceReader } from './trace-reader.ts'
import { TraceState } from './trace-state.ts'

/** Seconds of the trace in one second. */
export const SPEEDS = [0.1, 0.25, 0.5, 1, 2, 5, 10, 50, 200, 1000] as const
const DEFAULT_SPEED = 3
/** Words and tables follow a running player this often; pictures follow each frame. */
const WORDS_INTERVAL_MS = 500
/** With reduced motion the player goes in still pictures, so often. */
const STILL_INTERVAL_MS = 1000

/** A file as the player reads it. */
export interface TraceFile {
  readonly name: string
  readonly size: number
  /** Pieces of its text, in order. */
  pieces(): AsyncIterable<string>
}

/** What the player takes from its surroundings. */
export interface PlayerParts {
  /** Calls back before the next picture with the time in ms; returns a function that cancels it. */
  readonly frame: (callback: (nowMs: number) => void) => () => void
  /** Whether the person wants things to stand still. */
  readonly isMotionReduced: () => boolean
}

/** A trace, where in it one is, and whether it runs. */
export type PlayerModel = ReturnType<typeof createPlayerModel>

export function createPlayerModel({ frame, isMotionReduced }: PlayerParts) {
  const name = signal('')
  const state = signal<TraceState | null>(null)
  const failure = signal('')
  const progress = signal<string | null>(null)
  const timeMs = signal(0)
  /** Moves on with each picture that is to be drawn. */
  const picture = signal(0)
  /** Moves on when words and tables are to be written anew. */
  const words = signal(0)
  const isPlaying = signal(false)
  const speedIndex = signal<number>(DEFAULT_SPEED)
  let reading = 0
  let cancelFrame = (): void => {}
  let beforeMs: number | null = null
  let wordsMs = 0

  const endMs = computed(() => state.value?.trace.endMs ?? 0)
  const draw = (isWorded: boolean): void =>
    batch(() => {
      picture.value++
      if (isWorded) words.value++
    })
  const pause = (): void => {
    cancelFrame()
    beforeMs = null
    if (!isPlaying.value) return
    isPlaying.value = false
    draw(true)
  }
  const goTo = (ms: number, isWorded = true): void => {
    const held = state.value
    if (held === null) return
    timeMs.value = Math.max(0, Math.min(endMs.value, ms))
    held.seek(held.indexAt(timeMs.value))
    draw(isWorded)
  }
  const tick = (nowMs: number): void => {
    if (!isPlaying.value) return
    const passedMs = beforeMs === null ? 0 : nowMs - beforeMs
    const isStill = isMotionReduced()
    if (beforeMs === null || !isStill || passedMs >= STILL_INTERVAL_MS) {
      beforeMs = nowMs
      const isWorded = nowMs - wordsMs >= WORDS_INTERVAL_MS
      if (isWorded) wordsMs = nowMs
      if (passedMs > 0) goTo(timeMs.value + passedMs * (SPEEDS[speedIndex.value] ?? 1), isWorded)
    }
    if (timeMs.value >= endMs.value) pause()
    else cancelFrame = frame(tick)
  }
  const play = (): void => {
    if (state.value === null || isPlaying.value) return
    if (timeMs.value >= endMs.value) goTo(0)
    isPlaying.value = true
    cancelFrame = frame(tick)
  }

  return {
    name,
    state,
    failure,
    progress,
    timeMs,
    endMs,
    picture,
    words,
    isPlaying,
    speed: computed(() => SPEEDS[speedIndex.value] ?? 1),
    play,
    pause,
    toggle: (): void => (isPlaying.value ? pause() : play()),
    goTo,
    faster: (): void => void (speedIndex.value = Math.min(SPEEDS.length - 1, speedIndex.value + 1)),
    slower: (): void => void (speedIndex.value = Math.max(0, speedIndex.value - 1)),
    setSpeed(speed: number): void {
      const index = SPEEDS.findIndex((one) => one === speed)
      if (index !== -1) speedIndex.value = index
    },
    /** One change further or back. */
    step(direction: 1 | -1): void {
      pause()
      const held = state.value
      if (held === null) return
      held.seek(held.neighbour(direction))
      timeMs.value = held.index === 0 ? 0 : (held.trace.steps.atMs[held.index - 1] ?? 0)
      draw(true)
    },
    /** Reads a file; one that is being read gives way. Never rejects: what is wrong with the file is shown. */
    async open(file: TraceFile): Promise<void> {
      const mine = ++reading
      pause()
      batch(() => {
        failure.value = ''
        progress.value = `Reading ${file.name} …`
      })
      const reader = new TraceReader()
      let read = 0
      try {
        for await (const piece of file.pieces()) {
          if (mine !== reading) return
          read += piece.length
          progress.value = `Reading ${file.name}: ${formatBytes(read)} of ${formatBytes(file.size)}`
          if (!reader.push(piece)) break
        }
        const trace = reader.end()
        if (mine !== reading) return
        batch(() => {
          state.value = new TraceState(trace)
          name.value = file.name
          timeMs.value = 0
        })
        goTo(0)
      } catch (error) {
        if (mine === reading) failure.value = error instanceof Error ? error.message : String(error)
      } finally {
        if (mine === reading) progress.value = null
      }
    },
    /** Ends all that is under way. */
    close(): void {
      reading++
      pause()
    },
  }
}
