import { Option, type Command } from 'commander'
import type { LogEvent, Rotated } from '../../api/schemas.ts'
import { contextOf, type Context } from '../context.ts'
import { parseWholeNumber } from '../output.ts'

interface EventOptions {
  readonly follow?: true
  readonly since?: number
  readonly before?: number
  readonly severity?: string
  readonly kind?: string
  readonly peer?: string
  readonly limit?: number
}

/** `events`, `rotate`. */
export function addSecurityCommands(program: Command): void {
  program
    .command('events')
    .description('the event log: the newest 1,000, or the first ones after an id; ids have no gaps')
    .option('-f, --follow', 'go on with new events')
    .option('--since <id>', 'only events after this id', parseWholeNumber)
    .option('--before <id>', 'only events before this id', parseWholeNumber)
    .addOption(
      new Option('--severity <level>', 'at least this severity').choices([
        'info',
        'notice',
        'warning',
        'alert',
      ]),
    )
    .option('--kind <kind>', 'only kinds that begin so, such as rotation or handshake.failed')
    .option('--peer <peer>', 'only events about this peer: node name or peer id')
    .option('--limit <n>', 'at most this many at once, 1,000 if not given', parseWholeNumber)
    .action(async (options: EventOptions, command: Command) => {
      await events(contextOf(command), options)
    })
  program
    .command('rotate')
    .description('force a rotation of the session keys; data keeps flowing')
    .argument('[peer]', 'node name or peer id; all peers when left out')
    .action(async (peer: string | undefined, _options, command: Command) => {
      const { client, out } = contextOf(command)
      const rotated = await client.post<Rotated>('/rotate', peer === undefined ? {} : { peer })
      out.show(rotated, () => rotatedText(rotated))
    })
}

async function events({ client, out, signal }: Context, options: EventOptions): Promise<void> {
  const { follow, ...filter } = options
  const query = new URLSearchParams()
  for (const key of ['since', 'before', 'severity', 'kind', 'peer', 'limit'] as const)
    if (filter[key] !== undefined) query.set(key, String(filter[key]))
  if (follow === undefined) {
    const list = await client.get<LogEvent[]>(`/events?${query}`)
    out.show(list, () => list.map(eventText).join('\n'))
    return
  }
  query.set('follow', '1')
  for await (const event of client.stream<LogEvent>('GET', `/events?${query}`, undefined, signal))
    out.show(event, () => eventText(event))
}

function eventText(event: LogEvent): string {
  const fields = Object.entries(event.fields).map(([key, value]) => `${key}=${value}`)
  const parts = [
    event.text,
    event.peer === null ? '' : `peer=${event.peer}`,
    event.reason === null ? '' : `[${event.reason}]`,
    ...fields,
  ]
  return `${event.id}  ${new Date(event.at).toISOString()}  ${event.severity.padEnd(7)}  ${event.kind}  ${parts.filter((part) => part !== '').join(' ')}`
}

function rotatedText({ peers }: Rotated): string {
  if (peers.length === 0) return 'No peer is connected; the next connection starts with fresh keys.'
  return peers
    .map(({ name, epoch, started }) =>
      started
        ? `${name}: rotating the keys of epoch ${epoch}`
        : `${name}: a rotation of the keys of epoch ${epoch} is under way already`,
    )
    .join('\n')
}
