import type { ExecutionContext } from 'ava'
import { encode } from 'cborg'
import { MalformedError } from '../../../protocols/common/errors.ts'
import type { Format } from '../../../protocols/common/format.ts'

/** A bound inside a format: its name, the most that fits, and the items of a message with so many (or so long a one). */
export type Bound = readonly [name: string, max: number, items: (size: number) => unknown]

/** Each bound of the format: at it a message decodes, with one more it is malformed. Written by cborg, as a stranger would. */
export function decodesUpTo(t: ExecutionContext, format: Format<unknown>, bounds: readonly Bound[]): void {
  for (const [name, max, items] of bounds) {
    t.notThrows(() => format.decode(encode(items(max))), `${name} at ${max}`)
    t.throws(
      () => format.decode(encode(items(max + 1))),
      { instanceOf: MalformedError, message: /^(?!.*the limit is)/ },
      `${name} at ${max + 1}`,
    )
  }
}

/** The format looks at so many bytes and refuses more unread. */
export function readsUpTo(t: ExecutionContext, format: Format<unknown>, maxBytes: number): void {
  const refused = (sizeBytes: number): string =>
    t.throws(() => format.decode(new Uint8Array(sizeBytes)), { instanceOf: MalformedError }).message
  t.false(refused(maxBytes).includes('the limit is'), format.name)
  t.true(refused(maxBytes + 1).includes(`the limit is ${maxBytes}`), format.name)
}
