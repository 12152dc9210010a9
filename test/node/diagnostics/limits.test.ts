import test from 'ava'
import type { ControlledNode } from '../../../node/controlled-node.ts'
import { makeBugreport } from '../../../node/diagnostics/bugreport.ts'
import {
  RECORDED_STEPS_MAX,
  REPORT_FILE_BYTES_MAX,
  REPORTED_EVENTS_MAX,
  REPORTED_HASHES_MAX,
  REPORTED_ITEMS_MAX,
} from '../../../node/diagnostics/limits.ts'
import { recordingSchema } from '../../../node/diagnostics/recording-schema.ts'
import { unpackReport } from '../../../node/diagnostics/report-file.ts'
import { openEventLog } from '../../../node/log/event-log.ts'
import { memoryStore } from '../../../node/storage/memory-store.ts'
import { MalformedError } from '../../../protocols/common/errors.ts'
import { FakeControl } from '../http/fake-control.ts'

const { steps, hashes, checkpoint } = recordingSchema.shape
const { cache, suspicions, reports } = checkpoint.shape
const TICK = { event: { type: 'tick' }, now: 1, answers: {}, effects: 0 }

/** A list of a recording: what reads it, what stands in it, and how often that may be. */
const LISTS = [
  ['steps', steps, () => TICK, RECORDED_STEPS_MAX],
  ['entries of a list', cache, () => '00', REPORTED_ITEMS_MAX],
  ['items of a set', suspicions, String, REPORTED_ITEMS_MAX],
  ['pairs of a map', reports, (n: number) => [String(n), n], REPORTED_ITEMS_MAX],
  ['rewritten blobs', hashes, () => ['0'.repeat(64), 'f'.repeat(64)], REPORTED_HASHES_MAX],
] as const

for (const [what, schema, made, max] of LISTS)
  test(`${what} of a recording: so many are read, with one more it is malformed`, (t) => {
    const items: unknown[] = Array.from({ length: max }, (_, n) => made(n))
    t.true(schema.safeParse(items).success)
    t.false(schema.safeParse([...items, items[0]]).success)
  })

test('a file of a report is read up to a size, and refused unread beyond it', async (t) => {
  const report = Buffer.from(JSON.stringify(await new FakeControl().bugreport({ names: false })))
  const file = Buffer.alloc(REPORT_FILE_BYTES_MAX + 1, ' ')
  report.copy(file)
  t.is(unpackReport(file.subarray(0, -1)).format, 'kith-bugreport')
  const error = t.throws(() => unpackReport(file), { instanceOf: MalformedError })
  t.regex(error?.message ?? '', new RegExp(`the limit is ${REPORT_FILE_BYTES_MAX}$`))
})

test('a report has the newest events, so many', async (t) => {
  const events = await openEventLog(memoryStore(), { now: () => 0 }, (error) => void t.fail(String(error)))
  const append = async (count: number): Promise<void> => {
    for (let n = 0; n < count; n++) events.append({ kind: 'node.started', severity: 'info' })
    await events.flush()
  }
  const node: ControlledNode = {
    nodeId: 'a',
    nodeName: 'attic',
    startedAt: 0,
    localLabel: '7f3a91c2',
    events,
    emit: () => undefined,
    configEntries: [],
    mesh: () => undefined,
    isJoining: () => false,
    lapsed: () => undefined,
    waiting: () => undefined,
    signer: () => t.fail(),
    hasRootKey: () => false,
    rootSigner: () => Promise.resolve(null),
    found: () => Promise.resolve(),
    join: () => Promise.resolve(),
    loginLink: () => t.fail(),
    uiUrl: () => null,
  }
  const idsOf = async (): Promise<(number | undefined)[]> => {
    const ids = (await makeBugreport(node, { names: false })).events.map(({ id }) => id)
    return [ids.length, ids[0], ids.at(-1)]
  }
  await append(REPORTED_EVENTS_MAX)
  t.deepEqual(await idsOf(), [REPORTED_EVENTS_MAX, 1, REPORTED_EVENTS_MAX])
  await append(1)
  t.deepEqual(await idsOf(), [REPORTED_EVENTS_MAX, 2, REPORTED_EVENTS_MAX + 1])
})
