import tab from '@bomb.sh/tab/commander'
import { Command, CommanderError } from 'commander'
import { KithError } from '../../protocols/common/errors.ts'
import { fixOf } from '../reasons.ts'
import { VERSION } from '../version.ts'
import { addAuthorityCommands } from './commands/authority.ts'
import { addMemberCommands } from './commands/members.ts'
import { addMeshCommands } from './commands/mesh.ts'
import { addNetcheckCommand } from './commands/netcheck.ts'
import { addOperationCommands } from './commands/operations.ts'
import { addPingCommand } from './commands/ping.ts'
import { addSecurityCommands } from './commands/security.ts'
import { addServiceCommands } from './commands/services.ts'
import { addUpCommand } from './commands/up.ts'
import { addViewCommands } from './commands/view.ts'
import { AnsweredError, CliError, exitCodeOf } from './errors.ts'
import { stripControls } from '../log/logger.ts'

/** The whole command line. */
export function createProgram(): Command {
  const program = new Command('kith')
    .description('One private internet of your own machines.')
    .version(VERSION, '-V, --version')
    .option('--data <dir>', "the node's data directory (default: $KITH_DATA or the platform's)")
    .option('--json', 'one JSON document on stdout')
    .configureHelp({ showGlobalOptions: true })
    .configureOutput({ outputError: () => undefined }) // `runProgram` says it in the form of all other refusals
    .exitOverride()
  addUpCommand(program)
  addMeshCommands(program)
  addMemberCommands(program)
  addAuthorityCommands(program)
  addViewCommands(program)
  addPingCommand(program)
  addNetcheckCommand(program)
  addSecurityCommands(program)
  addServiceCommands(program)
  addOperationCommands(program)
  for (const command of program.commands) {
    // The same two options on every verb, so that they may stand before or after it.
    command
      .option('--data <dir>', "the node's data directory")
      .option('--json', 'one JSON document on stdout')
      .exitOverride()
  }
  tab(program, { completionCommandName: 'completion' })
  return program
}

/** Runs the command line and returns the exit status: 0 done, 1 refused or failed, 2 wrong usage, 3 no node running. */
export async function runProgram(args: readonly string[]): Promise<number> {
  const isJson = args.includes('--json')
  try {
    await createProgram().parseAsync(args, { from: 'user' })
    return 0
  } catch (thrown) {
    if (thrown instanceof CommanderError && thrown.exitCode === 0) return 0
    if (thrown instanceof CommanderError && thrown.code === 'commander.help') return 2 // no verb at all: the help was shown
    const error = thrown instanceof CommanderError ? usageError(thrown) : thrown
    if (!(error instanceof KithError)) throw error
    const fix = error instanceof AnsweredError ? error.fix : fixOf(error.code)
    if (isJson)
      process.stdout.write(
        `${JSON.stringify({ error: { code: error.code, message: error.message, fix } })}\n`,
      )
    process.stderr.write(
      `kith: ${stripControls(error.message)} [${error.code}]\n${fix === '' || error.message.includes(fix) ? '' : `  ${fix}\n`}`,
    )
    return exitCodeOf(error.code)
  }
}

/** Commander's message on one line, its own prefix cut off. */
function usageError(error: CommanderError): CliError {
  return new CliError('usage', error.message.replace(/^error: /, '').replaceAll(/\s*\n\s*/g, ' '), {
    cause: error,
  })
}
