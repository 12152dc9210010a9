import test from 'ava'
import { MalformedError } from '../../../protocols/common/errors.ts'
import {
  AUTHORS_MAX,
  FLOORS_MAX,
  SEEN_MESSAGES_MAX,
  SEEN_MESSAGES_PER_PEER_MAX,
  SENDER_CHARACTERS_MAX,
  STATE_BYTES_MAX,
} from '../../../protocols/replay/limits.ts'
import { FirstMessageGuard } from '../../../protocols/replay/machine.ts'
import { authorStateFormat, guardStateFormat } from '../../../protocols/replay/wire.ts'

const NOW = 1_800_000_000_000

test('a guard remembers so many messages of one peer and so many of all; one more is refused in silence', (t) => {
  const guard = new FirstMessageGuard()
  const admit = (peer: string, ephemeral: string) => guard.admit({ peer, ephemeral, timeMs: NOW }, NOW)
  const peers = SEEN_MESSAGES_MAX / SEEN_MESSAGES_PER_PEER_MAX
  let refused = 0
  for (let peer = 0; peer < peers; peer++) {
    for (let i = 0; i < SEEN_MESSAGES_PER_PEER_MAX; i++) if (!admit(`p${peer}`, `${peer}/${i}`).ok) refused++
    const code = peer < peers - 1 ? 'too-many-first-messages' : 'replay-cache-full'
    t.like(admit(`p${peer}`, 'one more'), { code, answer: false })
  }
  t.is(refused, 0)
  t.is(guard.sizes.seen, SEEN_MESSAGES_MAX)
  t.like(admit('somebody else', 'e'), { code: 'replay-cache-full', answer: false })
})

test('a guard remembers the times of so many peers; one more is refused, and all of them fit the disk', (t) => {
  const guard = FirstMessageGuard.restore(undefined, NOW)
  guard.snapshot(NOW, false).written()
  const name = (n: number): string => `${n}`.padStart(SENDER_CHARACTERS_MAX, '-')
  const admit = (n: number) => guard.admit({ peer: name(n), ephemeral: `${n}`, timeMs: NOW + 1 }, NOW + 1)
  let refused = 0
  for (let n = 0; n < FLOORS_MAX; n++) if (!admit(n).ok) refused++
  t.is(refused, 0)
  t.is(guard.sizes.floors, FLOORS_MAX)
  t.like(admit(FLOORS_MAX), { code: 'replay-cache-full', answer: false })
  const { bytes } = guard.snapshot(NOW + 2, false)
  t.true(bytes.length <= STATE_BYTES_MAX)
  t.is(FirstMessageGuard.restore(bytes, NOW + 3).sizes.floors, FLOORS_MAX)
})

const longest = {
  sender: 'x'.repeat(SENDER_CHARACTERS_MAX),
  newest: Number.MAX_SAFE_INTEGER,
  lead: Number.MIN_SAFE_INTEGER,
}
const state = { version: 1 as const, at: NOW, clean: false, reserve: Number.MAX_SAFE_INTEGER }
const withSenders = (senders: readonly (typeof longest)[]) =>
  guardStateFormat.encode({ ...state, senders: [...senders] })
const longestAuthor = { ...longest, incarnation: Number.MAX_SAFE_INTEGER, next: Number.MAX_SAFE_INTEGER }

test('a full memory of the longest rows fits its limit of bytes and comes back; a longer one is malformed', (t) => {
  const senders = withSenders(Array.from({ length: FLOORS_MAX }, () => longest))
  t.is(guardStateFormat.decode(senders).senders.length, FLOORS_MAX)
  const authors = authorStateFormat.encode({
    ...state,
    authors: Array.from({ length: AUTHORS_MAX }, () => longestAuthor),
  })
  t.is(authorStateFormat.decode(authors).authors.length, AUTHORS_MAX)
  for (const [format, bytes, max] of [
    [guardStateFormat, senders, FLOORS_MAX],
    [authorStateFormat, authors, AUTHORS_MAX],
  ] as const) {
    const malformed = (changed: Uint8Array, message: RegExp, what: string): void =>
      void t.throws(() => format.decode(changed), { instanceOf: MalformedError, message }, what)
    malformed(withRowsCounted(bytes, max, max + 1), /Too big/u, 'one row more')
    malformed(padded(bytes, STATE_BYTES_MAX), /not|many|left/iu, 'as long as may be: it is read')
    malformed(padded(bytes, STATE_BYTES_MAX + 1), /the limit is/u, 'one byte more: it is not')
  }
  const named = withSenders([longest])
  t.is(guardStateFormat.decode(named).senders[0]?.sender.length, SENDER_CHARACTERS_MAX)
  const text = Buffer.from(named)
    .toString('latin1')
    .replace(`\x78\x40${longest.sender}`, `\x78\x41${longest.sender}x`)
  t.throws(() => guardStateFormat.decode(Uint8Array.from(Buffer.from(text, 'latin1'))), {
    instanceOf: MalformedError,
    message: /senders\.0/u,
  })
})

function padded(bytes: Uint8Array, length: number): Uint8Array {
  const out = new Uint8Array(length)
  out.set(bytes)
  return out
}

/** `bytes` with `to` rows in place of `from`: the last one once more. */
function withRowsCounted(bytes: Uint8Array, from: number, to: number): Uint8Array {
  const at = Buffer.from(bytes).indexOf(Buffer.of(0x99, from >> 8, from & 255))
  const out = Buffer.from(bytes)
  out.writeUInt16BE(to, at + 1)
  const row = (bytes.length - at - 3) / from
  return Uint8Array.from(Buffer.concat([out, out.subarray(out.length - row * (to - from))]))
}
