/** Wrong usage: a scenario, an option or a file that cannot be used. Exit status 2. */
export class SimulationError extends Error {
  override name = 'SimulationError'
}
