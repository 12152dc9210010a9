import { runProgram } from './cli/program.ts'

// libp2p reports some failures of closing streams from event handlers nobody awaits (js-libp2p#3415). Ending the process with
// a clear line is right for our own bugs; a supervisor starts it again and nothing stored is lost.
process.on('uncaughtException', (error) => {
  process.stderr.write(`kith: internal error, please report it: ${error.stack ?? String(error)}\n`)
  process.exit(70)
})

process.exitCode = await runProgram(process.argv.slice(2))
