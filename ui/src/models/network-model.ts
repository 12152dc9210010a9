import { signal } from '@preact/signals'
import type { NetcheckReport } from '../../../node/api/path-schemas.ts'
import type { Api } from '../api.ts'
import type { NodeModel } from './node-model.ts'

/** What these events tell changes the report. */
const KINDS = /^(netcheck|network|port|relay)\./

/** How this machine stands towards the internet, as the page shows it. */
export type NetworkModel = ReturnType<typeof createNetworkModel>

/** Asks for the last report at once and whenever the node says that something of it changed. */
export function createNetworkModel(api: Pick<Api, 'netcheck'>, node: Pick<NodeModel, 'onEvent'>) {
  const report = signal<NetcheckReport | null>(null)
  const failure = signal<unknown>(null)
  const isMeasuring = signal(false)
  let isAsking = false
  let isStale = false
  const take = async (asking: Promise<NetcheckReport>): Promise<void> => {
    try {
      report.value = await asking
      failure.value = null
    } catch (error) {
      failure.value = error
    }
  }
  /** One question at a time, and one more for all that happened meanwhile. */
  const load = async (): Promise<void> => {
    isStale = true
    if (isAsking) return
    isAsking = true
    while (isStale) {
      isStale = false
      await take(api.netcheck(false))
    }
    isAsking = false
  }
  const stop = node.onEvent(({ kind }) => {
    if (KINDS.test(kind)) void load()
  })
  void load()
  return {
    report,
    failure,
    isMeasuring,
    load,
    /** Measures now, which takes seconds; one at a time. */
    async measure(): Promise<void> {
      if (isMeasuring.value) return
      isMeasuring.value = true
      await take(api.netcheck(true))
      isMeasuring.value = false
    },
    stop,
  }
}
