import { createSocket } from 'node:dgram'
import { createServer } from 'node:http'

/*
 * Something in the own network that would like to be taken for the router: hostile-router.ts LOCATION SIZE_BYTES
 * Answers every search with LOCATION and serves a description of that size on port 8080. Prints `ready`, `searched` for each search
 * and `asked` for each request by HTTP.
 */

const [location = '', size = ''] = process.argv.slice(2)
const say = (line: string): void => void process.stdout.write(`${line}\n`)
const socket = createSocket({ type: 'udp4', reuseAddr: true })
socket.on('message', (_, from) => {
  say('searched')
  socket.send(`HTTP/1.1 200 OK\r\nST: x\r\nLOCATION: ${location}\r\n\r\n`, from.port, from.address)
})
socket.bind(1900, '0.0.0.0', () => {
  socket.addMembership('239.255.255.250')
  const server = createServer((_, response) => {
    say('asked')
    response.on('error', () => response.destroy()).end('<service>'.padEnd(Number(size), ' '))
  })
  server.listen(8080, () => say('ready'))
})
