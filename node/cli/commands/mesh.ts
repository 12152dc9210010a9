import { InvalidArgumentError, type Command } from 'commander'
import { renderUnicodeCompact } from 'uqr'
import { readInviteArgument } from '../invite-argument.ts'
import type { Invite, Status } from '../../api/schemas.ts'
import { contextOf, type Context } from '../context.ts'
import { formatDuration, parseDuration } from '../output.ts'

const REACH_HINTS: Readonly<Record<Invite['reach'], string>> = {
  internet: 'It was checked from outside: machines anywhere can join with it.',
  lan: 'It reaches machines on the same network only. For others, forward the mesh port on the router or start a door on a public machine.',
  unknown:
    'Nobody outside could check whether this machine can be reached. On the same network it works; elsewhere, forward the mesh port first.',
}

/** How often a join is asked whether it waits for a person. */
const WAITING_POLL_MS = 500

interface InviteOptions {
  name?: string
  role: string[]
  tag: string[]
  uses: number
  approve?: true
  peer?: string
  ttl: number
}

/** `found`, `join`, `invite`. */
export function addMeshCommands(program: Command): void {
  program
    .command('found')
    .description('found a new mesh on the running node')
    .argument('[name]', 'name of the mesh; its domain is NAME.internal', 'home')
    .action(async (name: string, _options, command: Command) => {
      const { client, out } = contextOf(command)
      showJoined(await client.post<Status>('/found', { name }), out)
    })

  program
    .command('join')
    .description('join a mesh with an invite, on the running node')
    .argument('[invite]', 'the link, a file that holds it, or - for standard input', '-')
    .action(async (argument: string, _options, command: Command) => {
      const context = contextOf(command)
      showJoined(await join(context, await readInviteArgument(argument)), context.out)
    })

  program
    .command('invite')
    .description('make an invite for another machine')
    .option('--name <node>', 'the name the new node gets')
    .option('--role <role>', 'grant a role (repeatable)', collect, [])
    .option('--tag <tag>', 'give a tag (repeatable)', collect, [])
    .option('--uses <n>', 'how many machines may join with it', count, 1)
    .option('--approve', 'each join waits until `kith approve` lets it in')
    .option('--peer <id>', 'for this machine alone, which joins with nobody asked; needs --name')
    .option('--ttl <duration>', 'how long it is good, such as 30m, 24h, 7d', duration, 86_400_000)
    .action(async (options: InviteOptions, command: Command) => {
      const { client, out } = contextOf(command)
      const invite = await client.post<Invite>('/invites', {
        ...(options.name === undefined ? {} : { name: options.name }),
        roles: options.role,
        tags: options.tag,
        uses: options.uses,
        approve: options.approve === true,
        ...(options.peer === undefined ? {} : { peer: options.peer }),
        ttlMs: options.ttl,
      })
      out.show(invite, () => invite.invite)
      if (!out.isTerminal) return
      out.note(`\n${renderUnicodeCompact(invite.invite)}\n`)
      out.note(
        `Good for ${invite.uses} machine${invite.uses === 1 ? '' : 's'}, for ${formatDuration(options.peer === undefined ? options.ttl : invite.expires - Date.now())}. On the other machine: kith join LINK`,
      )
      if (options.approve === true) out.note('It then waits until you say here: kith approve NODE')
      out.note(REACH_HINTS[invite.reach])
    })
}

/** Joins, and says so when that has to wait for a person. */
async function join({ client }: Context, invite: string): Promise<Status> {
  const joined = client.post<Status>('/join', { invite })
  let isTold = false
  const timer = setInterval(() => {
    const look = async (): Promise<void> => {
      const { warnings } = await client.get<Status>('/status')
      const waiting = warnings.find(({ code }) => code === 'join-pending')
      if (waiting === undefined || isTold) return
      isTold = true
      process.stderr.write(`kith: ${waiting.text} [join-pending]\n  ${waiting.fix}\n`)
    }
    look().catch(() => undefined) // the join itself brings what is wrong
  }, WAITING_POLL_MS)
  try {
    return await joined
  } finally {
    clearInterval(timer)
  }
}

function showJoined(status: Status, out: ReturnType<typeof contextOf>['out']): void {
  out.show(status, () => `${status.node.name} is in the mesh "${status.mesh?.name}" (${status.mesh?.domain})`)
}

function collect(value: string, before: string[]): string[] {
  return [...before, value]
}

function count(text: string): number {
  if (!/^[1-9]\d*$/.test(text)) throw new InvalidArgumentError('expected a whole number from 1')
  return Number(text)
}

function duration(text: string): number {
  const ms = parseDuration(text)
  if (ms === undefined) throw new InvalidArgumentError('expected a duration such as 30m, 24h or 7d')
  return ms
}
