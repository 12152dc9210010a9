import { enableCompileCache } from 'node:module'
import { join } from 'node:path'

// Sources run as they are; what stripping their types and compiling them gave is kept beside the dependencies, which halves
// the time to start. A directory that cannot be written only means that nothing is kept.
enableCompileCache(join(import.meta.dirname, '..', 'node_modules', '.cache', 'kith'))

// libp2p reports some failures of closing streams from event handlers nobody awaits (js-libp2p#3415). Ending the process with
// a clear line is right for our own bugs; a supervisor starts it again and nothing stored is lost.
process.on('uncaughtException', (error) => {
  process.stderr.write(`kith: internal error, please report it: ${error.stack ?? String(error)}\n`)
  process.exit(70)
})

// A reader that leaves (`kith peers | head -1`, a terminal that closes) ends a command, but never the node.
const isNode = process.argv.slice(2).some((word) => word === 'up' || word === 'start')
for (const stream of [process.stdout, process.stderr]) {
  stream.on('error', (error: NodeJS.ErrnoException) => {
    if (error.code !== 'EPIPE') throw error
    if (!isNode) process.exit(0)
  })
}

const { runProgram } = await import('./cli/program.ts')
process.exitCode = await runProgram(process.argv.slice(2))
