import { randomUUID } from 'node:crypto'
import { openEventLog } from '../../../node/log/event-log.ts'
import { openStore } from '../../../node/storage/store.ts'

/* Appends events without end and says which were shown; run to be killed. */

const log = await openEventLog(await openStore(process.argv[2] ?? ''), { now: () => 0 }, (error) => {
  throw error
})
log.subscribe(({ id, text }) => process.stdout.write(`${id} ${text}\n`), new AbortController().signal)
for (;;) {
  for (let i = 0; i < 7; i += 1) log.append({ kind: 'x.y', severity: 'info', text: randomUUID() })
  await new Promise(setImmediate)
}
