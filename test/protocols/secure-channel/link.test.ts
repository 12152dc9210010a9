import test from 'ava'
import { AESGCM } from '../../../protocols/noise-ik/suite.ts'
import { RecordReader } from '../../../protocols/record/reader.ts'
import { RecordWriter } from '../../../protocols/record/writer.ts'
import type { ByteTransport, ByteTransportUser } from '../../../protocols/secure-channel/byte-transport.ts'
import { EARLY_MAX_BYTES, UNSENT_MAX_BYTES } from '../../../protocols/secure-channel/limits.ts'
import { SecureLink, type LinkEnd } from '../../../protocols/secure-channel/link.ts'

const KEY = new Uint8Array(32).fill(1)
const writer = (): RecordWriter => new RecordWriter(AESGCM.cipher(KEY), 0, (size) => new Uint8Array(size))

/** A dialling side's link over a transport the test plays, with turns that end when the test says so. */
function makeLink() {
  const seen = { written: [] as Uint8Array[], unsentBytes: 0, calls: [] as string[], ends: [] as LinkEnd[] }
  const turns: { now: (() => void)[]; late: (() => void)[] } = { now: [], late: [] }
  let user: ByteTransportUser | undefined
  const transport: ByteTransport = {
    isOpen: true,
    isWritable: true,
    get unsentBytes() {
      return seen.unsentBytes
    },
    write: (pieces) => void seen.written.push(Buffer.concat(pieces)),
    pause: () => void seen.calls.push('pause'),
    resume: () => void seen.calls.push('resume'),
    abort: (error) => void seen.calls.push(`abort ${error.message}`),
    use: (given) => void (user = given),
  }
  const link = new SecureLink(transport, {
    writer: writer(),
    reader: new RecordReader(AESGCM.cipher(KEY), 0),
    initiator: true,
    defer: (fn) => void turns.now.push(fn),
    deferLate: (fn) => void turns.late.push(fn),
    onEnd: (end) => void seen.ends.push(end),
  })
  const end = (which: 'now' | 'late'): void => {
    for (const fn of turns[which].splice(0)) fn()
  }
  return { link, seen, end, receive: (bytes: Uint8Array) => user?.onBytes(bytes) }
}

test('a peer that does not read what it asked for is given up, with a reason', (t) => {
  const { link, seen, end } = makeLink()
  seen.unsentBytes = UNSENT_MAX_BYTES
  link.send(Uint8Array.of(1))
  end('now')
  t.deepEqual(seen.ends, [])
  seen.unsentBytes++
  link.send(Uint8Array.of(2))
  end('now')
  t.like(seen.ends, [{ code: 'peer-not-reading' }])
  t.is(seen.calls.length, 1)
  t.regex(seen.calls[0] ?? '', /^abort /)
})

test('what is late leaves with what follows, in one record, or by itself a little later', (t) => {
  const { link, seen, end } = makeLink()
  link.send(Uint8Array.of(1), true)
  end('now')
  t.is(seen.written.length, 0)
  link.send(Uint8Array.of(2))
  end('now')
  t.is(seen.written.length, 1)
  end('late')
  t.is(seen.written.length, 1, 'nothing is left for it')
  link.send(Uint8Array.of(3), true)
  end('late')
  t.is(seen.written.length, 2)
})

test('bytes for a user that is not there yet are kept up to a limit, and then reading stops until it is', (t) => {
  const { link, seen, receive } = makeLink()
  const peer = writer()
  const piece = new Uint8Array(64 * 1024).fill(7)
  for (let i = 0; i <= EARLY_MAX_BYTES / piece.length; i++) receive(Buffer.concat(peer.seal('data', [piece])))
  t.deepEqual(seen.calls, ['pause'])
  let sizeBytes = 0
  link.use({
    onData: (bytes) => void (sizeBytes += bytes.length),
    onDrain: () => undefined,
    onClose: () => undefined,
  })
  t.is(sizeBytes, EARLY_MAX_BYTES + piece.length)
  t.deepEqual(seen.calls, ['pause', 'resume'])
})
