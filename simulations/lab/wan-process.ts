import { z } from 'zod'
import { openTun, Poller, READ_BYTES_MAX, readPacket, writePacket } from './tun.ts'
import { Wan, type PathCounts } from './wan.ts'

/*
 * The process that is the lab's internet: one TUN device a site, read by this loop, delayed and written to another. Started by
 * `internet.ts` with an IPC channel; ends with it.
 */

/** Nothing to wait for: look at the parent so often. */
const IDLE_MS = 1_000
/** Packets of one device before the others get their turn. */
const BATCH_PACKETS = 64

const settingsSchema = z.strictObject({
  delayMs: z.number().min(0).optional(),
  jitterMs: z.number().min(0).optional(),
  lossRate: z.number().min(0).max(1).optional(),
  bytesPerSecond: z.number().positive().nullable().optional(),
  isBlocked: z.boolean().optional(),
})

const path = { from: z.int().min(0), to: z.int().min(0) }

/** What the lab asks of the process; each is answered by `done` with its number. */
export const orderSchema = z.discriminatedUnion('order', [
  /** Makes the devices, named `${prefix}0` and so on. */
  z.strictObject({
    order: z.literal('open'),
    n: z.int(),
    seed: z.string(),
    sites: z.int().min(1).max(254),
    prefix: z.string().max(10),
    offload: z.boolean(),
  }),
  /** Several paths at once: a partition cuts all of them between two packets. */
  z.strictObject({
    order: z.literal('set'),
    n: z.int(),
    paths: z.array(z.strictObject({ ...path, settings: settingsSchema })),
  }),
  z.strictObject({ order: z.literal('count'), n: z.int(), ...path }),
])
export type Order = z.output<typeof orderSchema>

/** The answer to an order. */
export interface Done {
  readonly n: number
  readonly error: string | null
  readonly counts: PathCounts | null
}

let wan: Wan | null = null

function open({ seed, sites, prefix, offload }: Extract<Order, { order: 'open' }>): void {
  const fds = Array.from({ length: sites }, (_, i) => openTun(`${prefix}${i}`, offload))
  const opened = new Wan(seed, sites, (to, packet) => writePacket(fds[to] as number, packet))
  wan = opened
  void carry(opened, fds)
}

async function carry(net: Wan, fds: readonly number[]): Promise<void> {
  const poller = new Poller(fds)
  const buffer = new Uint8Array(READ_BYTES_MAX)
  for (;;) {
    const waitMs = net.dueAt === null ? IDLE_MS : Math.max(0, net.dueAt - performance.now())
    for (const site of await poller.wait(Math.min(waitMs, IDLE_MS))) {
      for (let i = 0; i < BATCH_PACKETS; i++) {
        const length = readPacket(fds[site] as number, buffer)
        if (length === 0) break
        net.accept(site, buffer.subarray(0, length), performance.now())
      }
    }
    net.run(performance.now())
  }
}

function obey(order: Order): PathCounts | null {
  if (order.order === 'open') {
    open(order)
    return null
  }
  if (wan === null) throw new Error('no devices yet')
  if (order.order === 'count') return { ...wan.counts(order.from, order.to) }
  for (const { from, to, settings } of order.paths) {
    const given = Object.entries(settings).filter(([, value]) => value !== undefined)
    wan.set(from, to, Object.fromEntries(given))
  }
  return null
}

process.on('message', (message) => {
  const order = orderSchema.parse(message)
  let done: Done
  try {
    done = { n: order.n, error: null, counts: obey(order) }
  } catch (error) {
    done = { n: order.n, error: error instanceof Error ? error.message : String(error), counts: null }
  }
  process.send?.(done)
})
process.on('disconnect', () => process.exit(0))
