import type { Socket } from 'node:net'
import { createInterface } from 'node:readline'

/** Messages as lines of JSON over a socket between the lab's own programs, which trust each other. */
export class JsonLines<Out, In> {
  readonly #socket: Socket

  constructor(socket: Socket, onMessage: (message: In) => void, onClosed: () => void = () => undefined) {
    this.#socket = socket
    socket.setNoDelay(true)
    socket.on('error', () => socket.destroy())
    socket.on('close', onClosed)
    createInterface({ input: socket }).on('line', (line) => onMessage(JSON.parse(line) as In))
  }

  send(message: Out): void {
    if (this.#socket.writable) this.#socket.write(`${JSON.stringify(message)}\n`)
  }
}
