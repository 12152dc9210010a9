import { readFile, writeFile } from 'node:fs/promises'
import { Option, type Command } from 'commander'
import { AdmissionError } from '../../../protocols/admission/errors.ts'
import { readRequest, signAct, writeResult } from '../../../protocols/admission/ceremony.ts'
import { peerIdFromKey } from '../../../protocols/common/peer-id.ts'
import { AuthorityRoleSchema, type AuthorityRow, type RootAct } from '../../api/schemas.ts'
import { exportRootKey, openRootKey } from '../../authority/root-key-file.ts'
import { systemClock, systemRandom } from '../../system-ports.ts'
import { contextOf, type Context } from '../context.ts'
import { CliError } from '../errors.ts'
import { formatDuration, table } from '../output.ts'

interface ActOptions {
  readonly role?: string[]
  readonly reason?: string
  readonly stolen?: true
  readonly request?: string
  readonly signed?: string
}

/** `authority`, `root`. */
export function addAuthorityCommands(program: Command): void {
  const authority = program
    .command('authority')
    .description('the nodes that may admit and revoke for the mesh; the root key decides who they are')
  authority
    .command('ls')
    .description('the authorities this node knows of, and when their certificates end')
    .action(async (_options, command: Command) => {
      const { client, out } = contextOf(command)
      const rows = await client.get<AuthorityRow[]>('/authorities')
      out.show(rows, () => authoritiesText(rows))
    })
  ceremonyOptions(
    authority
      .command('add')
      .description('make a member an authority, or renew it; where the root key is, or by request and answer')
      .argument('[peer]', 'node name or peer id; not with --signed'),
  )
    .addOption(
      new Option('--role <role...>', 'what it may do (default: admit revoke)').choices(
        AuthorityRoleSchema.options,
      ),
    )
    .action(async (peer: string | undefined, options: ActOptions, command: Command) => {
      const roles = options.role === undefined ? {} : { roles: options.role }
      await act(contextOf(command), '/authorities', peer, options, roles)
    })
  ceremonyOptions(
    authority
      .command('retire')
      .description('end the authority of a node: what it signs from now on is not believed')
      .argument('[peer]', 'node name or peer id; not with --signed'),
  )
    .option('--reason <text>', 'why, for people: one line', '')
    .option(
      '--stolen',
      'its key may be in other hands: nothing it ever signed is believed, its members join anew',
    )
    .action(async (peer: string | undefined, options: ActOptions, command: Command) => {
      const how = { reason: options.reason ?? '', stolen: options.stolen === true }
      await act(contextOf(command), '/authorities/retire', peer, options, how)
    })
  const root = program
    .command('root')
    .description('the root key of the mesh: move it to a safe place, sign with it there')
  root
    .command('export')
    .description('move the root key out of the data directory into a file (mode 0600)')
    .argument('<file>', 'must not exist; keep it where no network reaches')
    .option('--passphrase-file <file>', 'encrypt it (age, scrypt) with the first line of this file')
    .action(async (file: string, options: { passphraseFile?: string }, command: Command) => {
      const { data, out } = contextOf(command)
      const passphrase = await passphraseIn(options.passphraseFile)
      await exportRootKey(data, file, passphrase)
      out.show(
        { file, encrypted: passphrase !== undefined },
        () =>
          `The root key is in ${file} now, and no longer in ${data}. Without this file nobody can add or retire authorities: keep a copy.`,
      )
      if (passphrase === undefined)
        process.stderr.write(
          `kith: ${file} is NOT encrypted: whoever reads it rules the mesh. Use --passphrase-file, or keep it on an encrypted disk.\n`,
        )
    })
  root
    .command('sign')
    .description('sign a request of `kith authority … --request`, on any machine, without a node')
    .argument('<request>', 'the file with the request')
    .requiredOption('--key <file>', 'what `kith root export` wrote')
    .requiredOption('--out <file>', 'where the answer goes; bring it back with --signed')
    .option('--passphrase-file <file>', 'the passphrase of the key file')
    .action(async (request: string, options: SignOptions, command: Command) => {
      await sign(contextOf(command), request, options)
    })
}

interface SignOptions {
  readonly key: string
  readonly out: string
  readonly passphraseFile?: string
}

function ceremonyOptions(command: Command): Command {
  return command
    .option('--request <file>', 'sign nothing here: write what is to be signed where the root key is')
    .option('--signed <file>', 'take what `kith root sign` wrote')
}

async function act(
  { client, out }: Context,
  path: string,
  peer: string | undefined,
  options: ActOptions,
  how: object,
): Promise<void> {
  if ((peer === undefined) === (options.signed === undefined))
    throw new CliError('usage', 'Name a member, or give --signed FILE')
  const done =
    options.signed === undefined
      ? await client.post<RootAct>(path, { peer, ...how, request: options.request !== undefined })
      : await client.post<RootAct>('/authorities/signed', { signed: await readText(options.signed) })
  if (options.request !== undefined && done.request !== null)
    await writeFile(options.request, `${done.request}\n`, { flag: 'wx' }).catch(unwritable)
  out.show(done, () => actText(done, options.request))
}

async function sign({ out }: Context, file: string, options: SignOptions): Promise<void> {
  const { root, act: wanted } = readRequest(await readText(file))
  const rootSigner = await openRootKey(options.key, await passphraseIn(options.passphraseFile))
  const now = systemClock.now()
  const bytes = signAct({ root, act: wanted, rootSigner, serial: systemRandom.bytes(16), now })
  await writeFile(options.out, `${writeResult(wanted.act, bytes)}\n`, { flag: 'wx' }).catch(unwritable)
  const id = peerIdFromKey(wanted.key)
  const what =
    wanted.act === 'add'
      ? `makes ${wanted.name} (${id}) an authority with the roles ${wanted.roles.join(', ')}`
      : `ends the authority of ${wanted.name} (${id})${wanted.from === 0 ? ' and all it ever signed' : ''}`
  out.show(
    { act: wanted.act, id, name: wanted.name, mesh: root.document.name, out: options.out },
    () => `${options.out} ${what} in the mesh "${root.document.name}"`,
  )
}

async function passphraseIn(file: string | undefined): Promise<string | undefined> {
  if (file === undefined) return undefined
  const passphrase = (await readText(file)).split('\n')[0]?.trim() ?? ''
  if (passphrase === '') throw new CliError('usage', `The first line of ${file} is empty`)
  return passphrase
}

async function readText(file: string): Promise<string> {
  try {
    return await readFile(file, 'utf8')
  } catch (cause) {
    throw new CliError('usage', `Cannot read ${file}: ${(cause as Error).message}`, { cause })
  }
}

function unwritable(cause: Error): never {
  throw new AdmissionError('root-file-unwritable', cause.message, { cause })
}

function authoritiesText(rows: readonly AuthorityRow[]): string {
  if (rows.length === 0)
    return 'This node knows of no authority: nobody can admit or revoke until the root key makes one.'
  const list = table(
    ['NAME', 'ROLES', 'CERTIFICATE ENDS', 'ID'],
    rows.map(({ name, self, roles, expires, id }) => [
      `${name ?? '?'}${self ? ' (this node)' : ''}`,
      roles.join(','),
      `in ${formatDuration(expires - Date.now())}`,
      id,
    ]),
  )
  const alone = soleAuthorityText(rows)
  return alone === null ? list : `${list}\n\n${alone}`
}

/** What it means that one machine alone can admit or revoke; null while there are two for both. */
function soleAuthorityText(rows: readonly AuthorityRow[]): string | null {
  const lines = (['admit', 'revoke'] as const).flatMap((role) => {
    const able = rows.filter(({ roles }) => roles.includes(role))
    return able.length === 1 && able[0] !== undefined ? [{ role, who: able[0].name ?? able[0].id }] : []
  })
  if (lines.length === 0) return null
  const facts = [...new Set(lines.map(({ who }) => who))].map(
    (who) =>
      `${who} can ${lines
        .filter((line) => line.who === who)
        .map(({ role }) => role)
        .join(' or ')}`,
  )
  return `Only ${facts.join(', and only ')}. If that machine is lost, nobody can until the root key adds another:\n  kith authority add NODE`
}

function actText({ act: done, state, name, id }: RootAct, request: string | undefined): string {
  const who = name ?? id
  if (state === 'request')
    return `Sign ${request ?? 'the request'} where the root key is: kith root sign ${request ?? 'FILE'} --key KEY --out ANSWER\nthen bring it back: kith authority ${done} --signed ANSWER`
  if (done === 'retire') return `${who} is no authority any more; every member is told`
  return state === 'done'
    ? `${who} is an authority`
    : `${who} is away; it becomes an authority when it is back and this node reaches it`
}
