import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'

/**
 * Bytes moved through buffers after which the young ones among them are collected. What waits to be collected stays as free
 * memory of the process afterwards: at 8 MiB two ends of a fast transfer kept 20 MB more than at 2, and took no less time.
 */
const EVERY_BYTES = 2 * 1024 * 1024

setFlagsFromString('--expose-gc')
const collect = runInNewContext('gc') as (options: { type: 'minor' }) => void

let sinceBytes = 0

/**
 * Counts bytes that went through fresh buffers and now and then collects the young generation. V8 sees only small objects in
 * JavaScript's heap, so it collects the young ones too rarely, reaches its limit of memory outside the heap instead and marks
 * the whole heap for it, ten times a second: a third of the time of a busy node.
 */
export function countBuffers(bytes: number): void {
  sinceBytes += bytes
  if (sinceBytes < EVERY_BYTES) return
  sinceBytes = 0
  collect({ type: 'minor' })
}
