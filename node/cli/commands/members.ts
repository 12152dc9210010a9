import type { Command } from 'commander'
import type { Approved, MemberRow, Revoked } from '../../api/schemas.ts'
import { contextOf } from '../context.ts'
import { formatDuration, table } from '../output.ts'

/** `members`, `revoke`, `approve`. */
export function addMemberCommands(program: Command): void {
  program
    .command('members')
    .description('who belongs to the mesh, who waits for approval, who was revoked')
    .action(async (_options, command: Command) => {
      const { client, out } = contextOf(command)
      const members = await client.get<MemberRow[]>('/members')
      out.show(members, () => (members.length === 0 ? 'This node is in no mesh yet.' : membersText(members)))
    })
  program
    .command('revoke')
    .description('cut a member off at once and for good; needs an authority with the role revoke')
    .argument('<peer>', 'node name or peer id')
    .option('--reason <text>', 'why, for people: one line, told to every member', '')
    .action(async (peer: string, { reason }: { reason: string }, command: Command) => {
      const { client, out } = contextOf(command)
      const revoked = await client.post<Revoked>('/revocations', { peer, reason })
      out.show(revoked, () => revokedText(revoked))
    })
  program
    .command('approve')
    .description(
      'let a machine in that waits after `kith invite --approve`; on the node that made the invite',
    )
    .argument('<peer>', 'node name or peer id, as `kith members` lists it')
    .option('--deny', 'turn it away instead')
    .action(async (peer: string, { deny }: { deny?: true }, command: Command) => {
      const { client, out } = contextOf(command)
      const approved = await client.post<Approved>('/approvals', { peer, deny: deny === true })
      out.show(approved, () =>
        approved.approved
          ? `${approved.name} is approved; it joins within seconds`
          : `${approved.name} is turned away`,
      )
    })
}

function membersText(members: readonly MemberRow[]): string {
  const rows = members.map((member) => [
    `${member.name ?? '?'}${member.self ? ' (this node)' : ''}`,
    member.state,
    [...member.roles].join(',') || '-',
    [...member.tags].join(',') || '-',
    member.authority === null ? '-' : member.authority.roles.join(','),
    endText(member),
    noteText(member),
    member.id,
  ])
  return table(['NAME', 'STATE', 'ROLES', 'TAGS', 'AUTHORITY', 'CERTIFICATE ENDS', 'NOTE', 'ID'], rows)
}

function endText({ certificate }: MemberRow): string {
  if (certificate === null) return '-'
  const leftMs = certificate.expires - Date.now()
  return leftMs > 0 ? `in ${formatDuration(leftMs)}` : `${formatDuration(-leftMs)} ago`
}

function noteText({ revoked, pendingSince }: MemberRow): string {
  if (pendingSince !== null) return `waits ${formatDuration(Date.now() - pendingSince)}`
  if (revoked === null) return '-'
  const when = `revoked ${new Date(revoked.at).toISOString().slice(0, 10)}`
  return revoked.reason === '' ? when : `${when}: ${revoked.reason}`
}

function revokedText({ id, name, added, authority }: Revoked): string {
  const who = name ?? id
  const lines = [added ? `${who} is revoked; every member cuts it off` : `${who} was revoked before`]
  if (authority)
    lines.push(
      `It is an authority: what it signs is believed until the root key cuts it. Where the root key is: kith authority retire ${who}`,
    )
  return lines.join('\n')
}
