import { join } from 'node:path'
import type { Command } from 'commander'
import type { ConfigEntry, LoginLink } from '../../api/schemas.ts'
import { loadConfig } from '../../config/load.ts'
import { VERSION } from '../../version.ts'
import { hasDisplay, openUrl } from '../browser.ts'
import { contextOf, type Context } from '../context.ts'
import { CliError } from '../errors.ts'
import { table } from '../output.ts'

/** `ui`, `config`, `version`. */
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
      if (link.sshHint !== null) out.note(link.sshHint)
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
    .command('version')
    .description('the version of Kith and of the Node it runs on')
    .action((_options, command: Command) => {
      contextOf(command).out.show(
        { version: VERSION, node: process.version },
        () => `kith ${VERSION} (Node ${process.version})`,
      )
    })
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
