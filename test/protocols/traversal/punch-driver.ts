import type { PunchEffect, PunchEvent, PunchOutcome } from '../../../protocols/traversal/punch-events.ts'
import { nextWakeAt, type PunchState } from '../../../protocols/traversal/punch-state.ts'
import { step } from '../../../protocols/traversal/punch.ts'
import { punchFormat, type PunchMessage } from '../../../protocols/traversal/wire.ts'

/** Drives one attempt and watches what it leaves open. */
export class PunchDriver {
  now = 0
  readonly effects: PunchEffect[] = []
  readonly open = new Set<string>()
  readonly state: PunchState

  constructor([state, effects]: readonly [PunchState, PunchEffect[]]) {
    this.state = state
    this.#note(effects)
  }

  get outcome(): PunchOutcome | undefined {
    return this.effects.find((effect) => effect.type === 'done')?.outcome
  }

  of<T extends PunchEffect['type']>(type: T): Extract<PunchEffect, { type: T }>[] {
    return this.effects.filter((effect): effect is Extract<PunchEffect, { type: T }> => effect.type === type)
  }

  sent(): PunchMessage[] {
    return this.of('send').map(({ bytes }) => punchFormat.decode(bytes))
  }

  tell(event: PunchEvent, random = 0.5): this {
    if (event.type === 'accepted') this.open.add(event.socket)
    if (event.type === 'closed' || event.type === 'connect-failed') this.open.delete(event.socket)
    this.#note(step(this.state, event, this.now, () => random))
    return this
  }

  /** Lets time pass, with a wake at each time that is asked for. */
  pass(ms: number): this {
    const until = this.now + ms
    for (let wakes = 0; ; wakes++) {
      const wakeAt = nextWakeAt(this.state)
      if (wakeAt === null || wakeAt > until) break
      if (wakes > 10_000) throw new Error('wakes for ever')
      this.now = Math.max(this.now, wakeAt)
      this.tell({ type: 'wake' })
    }
    this.now = until
    return this
  }

  #note(effects: readonly PunchEffect[]): void {
    for (const effect of effects) {
      if (effect.type === 'connect') this.open.add(effect.socket)
      if (effect.type === 'close') this.open.delete(effect.socket)
    }
    this.effects.push(...effects)
  }
}
