import { scenarioSchema, type Scenario } from '../../simulations/scenarios/schema.ts'
import { runScenario } from '../../simulations/scenarios/run.ts'
import { traceTo } from '../../simulations/scenarios/trace-file.ts'
import type { Watcher } from '../../simulations/world/node.ts'

/** Writes the trace of a run of these nodes and faults; `watcher` looks on besides. */
export function writeTrace(
  path: string,
  given: Pick<Scenario, 'nodes' | 'seconds'> & { faults: readonly object[] },
  watcher: Watcher = {},
): void {
  const scenario = scenarioSchema.parse({ name: 'played', expect: { converged: false }, ...given })
  const file = traceTo(path)
  file.begin(scenario, '1')
  runScenario(scenario, {
    seed: '1',
    onTrace: file.onTrace,
    onFault: file.onFault,
    watcher: {
      ...file.watcher,
      started(node) {
        file.watcher.started?.(node)
        watcher.started?.(node)
      },
      stopped: (node, process) => watcher.stopped?.(node, process),
    },
  })
  file.close()
}
