import { writeFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import type { Command } from 'commander'
import type { Bugreport, ConfigEntry, LoginLink } from '../../api/schemas.ts'
import { loadConfig } from '../../config/load.ts'
import { DiagnosticsError } from '../../diagnostics/errors.ts'
import { packReport } from '../../diagnostics/report-file.ts'
import { VERSION } from '../../version.ts'
import { hasDisplay, openUrl } from '../browser.ts'
import { contextOf, type Context } from '../context.ts'
import { CliError } from '../errors.ts'
import { formatBytes, table } from '../output.ts'

/** `ui`, `config`, `bugreport`, `version`. */
export function addOperationCommands(program: Command): void {
  program
    .command('ui')
    .description('open the dashboard with a fresh one-time login link')
    .option('--print', 'print the link instead')
    .action(async (options: { print?: true }, command: Command) => {
      const { client, out } = contextOf(command)
      const link = await client.post<LoginLink>('/login-links')
      const print = options.print === true || out.isJson || !hasDisplay()
      out.show(link, () => (print ? link.url : 'opening the dashboard'))
      // Not beside the link: what is printed goes into other programs.
      if (link.sshHint !== null && !out.isJson)
        process.stderr.write(`from another machine: ${link.sshHint}\n`)
      if (!print) openUrl(link.url)
    })
  const config = program.command('config').description('the configuration and where each value comes from')
  config
    .command('get')
    .argument('[key]', 'only this key')
    .action(async (key: string | undefined, _options, command: Command) => {
      await getConfig(contextOf(command), key)
    })
  config
    .command('validate')
    .description('check config.toml and the environment; exit 1 with the reason when they are wrong')
    .action((_options, command: Command) => {
      const { data, out } = contextOf(command)
      const { entries } = loadLocal(data)
      out.show({ valid: true, entries }, () => `${join(data, 'config.toml')} and the environment are valid`)
    })
  program
    .command('bugreport')
    .argument('[file]', 'where to write it (default: kith-bugreport-DATE.json.gz here)')
    .description(
      'what happened lately in one file to send to a developer, without names, addresses and secrets',
    )
    .option('--with-names', 'leave names and addresses of machines and services in')
    .action(async (file: string | undefined, options: { withNames?: true }, command: Command) => {
      await bugreport(contextOf(command), file, options.withNames === true)
    })
  program
    .command('version')
    .description('the version of Kith and of the Node it runs on')
    .action((_options, command: Command) => {
      contextOf(command).out.show(
        { version: VERSION, node: process.version },
        () => `kith ${VERSION} (Node ${process.version})`,
      )
    })
}

/** Writes a report that only its owner can read. */
async function bugreport({ client, out }: Context, file: string | undefined, names: boolean): Promise<void> {
  const report = await client.get<Bugreport>(`/bugreport${names ? '?names=1' : ''}`)
  const bytes = packReport(report)
  const date = new Date(report.createdAt).toISOString().replaceAll(/:|\.\d+/g, '')
  const path = resolve(file ?? `kith-bugreport-${date}.json.gz`)
  try {
    writeFileSync(path, bytes, { mode: 0o600, flag: 'wx' })
  } catch (cause) {
    throw new DiagnosticsError('report-unwritable', `Cannot write ${path}: ${(cause as Error).message}`, {
      cause,
    })
  }
  const { redacted } = report
  const result = { file: path, sizeBytes: bytes.length, events: report.events.length, redacted }
  out.show(result, () => `${path} (${formatBytes(bytes.length)}, ${report.events.length} events)`)
  if (redacted)
    out.note('Names and addresses of machines and services were replaced; there is no secret in it.')
  else out.note('It holds the names and addresses of machines and services: give it only to whom you trust.')
}

/** What the running node uses; with none running, what one would start with. */
async function getConfig({ client, out, data }: Context, key: string | undefined): Promise<void> {
  let entries: ConfigEntry[]
  try {
    entries = await client.get<ConfigEntry[]>('/config')
  } catch (error) {
    if (!(error instanceof CliError && error.code === 'not-running')) throw error
    entries = loadLocal(data).entries
  }
  if (key !== undefined)
    entries = entries.filter((entry) => entry.key === key || entry.key.startsWith(`${key}.`))
  if (entries.length === 0) throw new CliError('usage', `"${key}" is no key of the configuration`)
  out.show(entries, () =>
    table(
      ['KEY', 'VALUE', 'SOURCE'],
      entries.map((entry) => [entry.key, JSON.stringify(entry.value), entry.source]),
    ),
  )
}

function loadLocal(data: string): ReturnType<typeof loadConfig> {
  return loadConfig({ file: join(data, 'config.toml'), environment: process.env, flags: {} })
}
