/**
 * Overwrites secrets with zeros, once nothing needs them any more. What JavaScript does not let us reach (copies inside the
 * crypto library's key objects, what the garbage collector moved) stays until the memory is used again: see the README.
 */
export function wipe(...secrets: readonly Uint8Array[]): void {
  for (const secret of secrets) secret.fill(0)
}
