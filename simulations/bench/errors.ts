/** Wrong usage, or something a benchmark needs is not here: exit status 2. */
export class BenchError extends Error {
  override name = 'BenchError'
}
