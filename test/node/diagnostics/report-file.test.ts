import { gzipSync } from 'node:zlib'
import test from 'ava'
import fc from 'fast-check'
import type { Bugreport } from '../../../node/api/schemas.ts'
import { RECORDED_STEPS_MAX, REPORT_BYTES_MAX } from '../../../node/diagnostics/limits.ts'
import { isPacked, packReport, unpackReport } from '../../../node/diagnostics/report-file.ts'
import { decodeRecording, encodeRecording } from '../../../node/diagnostics/recording-format.ts'
import { MalformedError } from '../../../protocols/common/errors.ts'
import { FakeControl } from '../http/fake-control.ts'

const report = (): Promise<Bugreport> => new FakeControl().bugreport({ names: false })

test('a report comes out of its file as it went in, packed or not', async (t) => {
  const held = await report()
  const packed = packReport(held)
  t.true(isPacked(packed))
  t.deepEqual(unpackReport(packed), held)
  t.deepEqual(unpackReport(Buffer.from(JSON.stringify(held))), held)
  t.regex(JSON.stringify(held), /^\{"format":"kith-bugreport","version":1,/)
})

test('reading a file throws nothing but that it is malformed', async (t) => {
  const refuses = (bytes: Uint8Array): boolean => {
    try {
      unpackReport(bytes)
      return false
    } catch (error) {
      if (error instanceof MalformedError) return true
      throw error
    }
  }
  fc.assert(fc.property(fc.uint8Array({ maxLength: 200 }), refuses))
  fc.assert(fc.property(fc.json(), (text) => refuses(Buffer.from(text)) && refuses(gzipSync(text))))
  const packed = packReport(await report())
  fc.assert(
    fc.property(fc.nat(packed.length - 1), fc.integer({ min: 1, max: 255 }), (at, flip) => {
      const bytes = Uint8Array.from(packed)
      bytes[at] = (bytes[at] as number) ^ flip
      refuses(bytes) // a flip in the header's unused bytes changes nothing
    }),
  )
  t.pass()
})

test('a file that unpacks to more than a report can be is refused before it fills the memory', (t) => {
  const bomb = gzipSync(Buffer.alloc(REPORT_BYTES_MAX + 1))
  t.true(bomb.length < 200_000)
  t.throws(() => unpackReport(bomb), { instanceOf: MalformedError })
})

/** The smallest recording there is, as it stands in a file. */
const GOLDEN = {
  checkpoint: snapshot(),
  final: snapshot(),
  steps: [
    { event: { type: 'tick' }, now: 1_800_000_000_200, answers: {}, effects: 0 },
    {
      event: { type: 'frame', peer: 'p', bytes: 'hAIB' },
      now: 1_800_000_000_300,
      answers: {
        random: ['AQI='],
        signed: [{ digest: `${'A'.repeat(43)}=`, signature: `${'A'.repeat(86)}==` }],
        unverified: [1],
        reachable: [true],
        revoked: [false],
        unsigned: [0],
      },
      effects: 7,
    },
    {
      event: { type: 'dial-failed', peer: 'p', refused: true },
      now: 1_800_000_000_400,
      answers: {},
      effects: 0,
    },
  ],
  root: { meshId: `${'A'.repeat(43)}=`, rootKeys: [`${'A'.repeat(43)}=`] },
  at: 1_800_000_000_000,
  hashes: [['0'.repeat(64), 'f'.repeat(64)]],
}

function snapshot(): Record<string, unknown> {
  const zero = Object.fromEntries(
    (
      'gossipTokens aeTokens lastAeAt gossipDropped startedAt probeCounter lastTickAt lastProbeAt lastAccuseAt ' +
      'lastPersistAt lastSweepAt lastPartAt'
    )
      .split(' ')
      .map((key) => [key, 0]),
  )
  const verdict = {
    state: 'suspect',
    lastSeen: null,
    accusers: [['b', 'AQ==']],
    refused: ['b'],
    weighed: [['b', 5]],
    accusedAt: 5,
    toldAgain: false,
    suspectedAt: 5,
    unvouched: false,
    vouchedAt: null,
  }
  return {
    self: {
      id: 'a',
      bootNonce: 'AAAAAAAAAAA=',
      credentials: 'AQ==',
      incarnation: 1,
      seq: 2,
      announcedAt: 3,
      announcement: { addresses: ['x'], relays: [], services: [] },
      dirty: false,
      storing: null,
      adoptions: [1],
      silenced: false,
    },
    table: [
      { entry: { kind: 'leave', statement: 'AQ==', credentials: 'Ag==' }, hash: 'AAAAAAAAAAA=', down: true },
    ],
    verdicts: [['b', verdict]],
    links: [],
    lost: [['b', { since: 1, refused: true, accused: true, unreached: false, renewed: false }]],
    archive: [],
    cache: ['00'],
    ended: {
      authors: [{ author: 'c', incarnation: 1, greatest: -1 }],
      times: { senders: [{ sender: 'c', newest: 1, lead: 0, heldUntil: null }], latestNow: 9, sweptAt: null },
    },
    asked: [['b', { n: 1, at: 2, helpers: ['c'], heardAt: null }]],
    requests: [],
    health: { score: 1, noAccusingUntil: 0, nextDoubtAt: 0, recoveredAt: 0 },
    healing: { lastAt: 0, announceAt: null, dates: [] },
    revocations: null,
    refuted: [],
    suspicions: ['b'],
    toAccuse: [],
    gossip: [['eb', { type: 'entry', id: 'b', full: true, source: null }]],
    unsaved: ['b'],
    unchecked: [],
    reports: [['b link-limit', 5]],
    unknownSettled: true,
    ...zero,
  }
}

test('a recording in a file is what it always was, and comes out as it went in', (t) => {
  const encoding = encodeRecording(decodeRecording(GOLDEN))
  let part = encoding.next()
  while (part.done !== true) part = encoding.next()
  t.deepEqual(part.value, GOLDEN)
})

test('a recording with an unknown, a missing or a wrong field is malformed', (t) => {
  const wrong: [string, unknown][] = [
    ['unknown', { ...GOLDEN, further: 1 }],
    ['unknown state', { ...GOLDEN, final: { ...snapshot(), further: 1 } }],
    ['missing', { ...GOLDEN, at: undefined }],
    ['not base64', { ...GOLDEN, root: { ...GOLDEN.root, meshId: '*' } }],
    ['short key', { ...GOLDEN, root: { ...GOLDEN.root, meshId: 'AAAA' } }],
    ['too many', { ...GOLDEN, steps: Array.from({ length: RECORDED_STEPS_MAX + 1 }, () => GOLDEN.steps[0]) }],
    ['no number', { ...GOLDEN, at: 'now' }],
  ]
  for (const [what, value] of wrong)
    t.throws(() => decodeRecording(value), { instanceOf: MalformedError }, what)
  fc.assert(
    fc.property(fc.anything(), (value) => {
      try {
        decodeRecording(value)
        return false
      } catch (error) {
        return error instanceof MalformedError
      }
    }),
  )
})
