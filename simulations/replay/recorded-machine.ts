import { FlightRecorder, type Recording, type RecorderLimits } from '../../protocols/membership/recorder.ts'
import type { MembershipState } from '../../protocols/membership/machine.ts'
import { MACHINE, type Machine } from '../world/world.ts'

/** A world's machines with a flight recorder in each, as the node has it. */
export interface RecordedMachine {
  readonly machine: Machine
  /**
   * Of every process that took a step, in the order of their starts; of one that was shut down, from before it saved its entries.
   * Some byzantine roles reach into the state between steps, which no recording can tell of.
   */
  recordings(): Recording[]
}

interface Recorded {
  readonly recorder: FlightRecorder
  isBegun: boolean
  last: Recording | null
}

/** Puts recorders into machines; give `machine` to a world. */
export function recordMachines(inner: Machine = MACHINE, limits?: RecorderLimits): RecordedMachine {
  const all = new Map<MembershipState, Recorded>()
  const recordedOf = (state: MembershipState): Recorded => {
    const recorded = all.get(state)
    if (recorded === undefined) throw new Error('a machine of another world')
    return recorded
  }
  const machine: Machine = {
    ...inner,
    createMembership(config, now) {
      const recorder = new FlightRecorder(limits)
      const state = inner.createMembership(recorder.listenTo(config), now)
      all.set(state, { recorder, isBegun: false, last: null })
      return state
    },
    step(state, event, now) {
      const recorded = recordedOf(state)
      // Not before: a formed world puts its members into the tables first.
      if (!recorded.isBegun) recorded.recorder.begin(state, now)
      recorded.isBegun = true
      return recorded.recorder.step(event, now, inner.step)
    },
    saveEntries(ctx) {
      const recorded = recordedOf(ctx.state)
      recorded.last = recorded.recorder.recording()
      inner.saveEntries(ctx)
    },
  }
  return {
    machine,
    recordings: () => [...all.values()].flatMap(({ recorder, last }) => last ?? recorder.recording() ?? []),
  }
}
