/** A part that others name before it exists. @throws Error before it does. */
export function existing<T>(part: T | undefined): T {
  if (part === undefined) throw new Error('used before the mesh had started')
  return part
}
