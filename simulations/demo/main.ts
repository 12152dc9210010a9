import { spawn, spawnSync, type ChildProcess } from 'node:child_process'
import { createHash, randomBytes } from 'node:crypto'
import { Resolver } from 'node:dns/promises'
import { once } from 'node:events'
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { get } from 'node:http'
import { connect, createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Peer, PingReply, Service } from '../../node/api/schemas.ts'
import { createClient, type Client } from '../../node/cli/client.ts'
import { RUNTIME_ENVIRONMENT, RUNTIME_FLAGS } from '../../node/launcher.cjs'
import type { Ready } from '../../node/compose.ts'
import { daemon, hasCommand, installPrograms, missingForLab } from '../lab/programs.ts'
import { demoBehindNats } from './behind-nats.ts'

/*
 * The product in a minute: three nodes on this machine, a web server published on one, opened by its name from another. Prints
 * every step with its time and ends with the trace of that very request. Leaves nothing behind.
 */

const PAGE_BYTES = 4_000_000
const STEP_TIMEOUT_MS = 30_000
const main = join(import.meta.dirname, '..', '..', 'node', 'main.ts')

/** A node of the demo, as a process of its own. */
interface DemoNode {
  readonly name: string
  readonly process: ChildProcess
  readonly ready: Ready
  readonly client: Client
}

const directory = mkdtempSync(join(tmpdir(), 'kith-demo-'))
const children: ChildProcess[] = []
const startedAt = performance.now()

/** Prints a step and how long it took. */
async function step<T>(title: string, run: () => Promise<T> | T): Promise<T> {
  const from = performance.now()
  const result = await run()
  const tookMs = performance.now() - from
  console.log(
    `${((performance.now() - startedAt) / 1000).toFixed(1).padStart(5)} s  ${title}  (${tookMs < 1000 ? `${Math.round(tookMs)} ms` : `${(tookMs / 1000).toFixed(1)} s`})`,
  )
  return result
}

async function startNode(name: string, ...flags: string[]): Promise<DemoNode> {
  const data = join(directory, name)
  const child = spawn(
    process.execPath,
    [
      ...RUNTIME_FLAGS,
      main,
      'up',
      '--json',
      '--data',
      data,
      '--name',
      name,
      '--listen',
      '/ip4/127.0.0.1/tcp/0',
      '--ui',
      '0',
      '--dns',
      '0',
      '--gateway-port',
      '0',
      ...flags,
    ],
    {
      stdio: ['ignore', 'pipe', 'pipe'],
      env: { ...RUNTIME_ENVIRONMENT, ...process.env, KITH_LOG_LEVEL: 'warn' },
    },
  )
  children.push(child)
  let log = ''
  child.stderr.on('data', (chunk: Buffer) => (log = (log + chunk.toString()).slice(-4000)))
  for await (const line of createInterface({ input: child.stdout })) {
    return { name, process: child, ready: JSON.parse(line) as Ready, client: createClient(data) }
  }
  throw new Error(`node ${name} did not start: ${log}`)
}

/** Asks until the answer is there. */
async function eventually<T>(what: string, ask: () => Promise<T | undefined>): Promise<T> {
  const deadline = performance.now() + STEP_TIMEOUT_MS
  for (;;) {
    const answer = await ask()
    if (answer !== undefined) return answer
    if (performance.now() > deadline) throw new Error(`${what}: not within ${STEP_TIMEOUT_MS / 1000} s`)
    await sleep(20)
  }
}

/** The page, served by nginx where it could be had, else published as a folder. @returns what to publish. */
async function startWebServer(page: Buffer): Promise<{ target: string; what: string }> {
  const site = join(directory, 'site')
  mkdirSync(site)
  writeFileSync(join(site, 'index.html'), page)
  const nginx = daemon('nginx')
  if (nginx === undefined) return { target: site, what: 'a folder (nginx is not here)' }
  const port = await freePort()
  const config = join(directory, 'nginx.conf')
  writeFileSync(
    config,
    `daemon off; master_process off; pid ${directory}/nginx.pid; error_log ${directory}/nginx.log;
events {}
http { access_log off; client_body_temp_path ${directory}/body; proxy_temp_path ${directory}/proxy; fastcgi_temp_path ${directory}/fastcgi; uwsgi_temp_path ${directory}/uwsgi; scgi_temp_path ${directory}/scgi;
  server { listen 127.0.0.1:${port}; root ${site}; default_type text/html; } }
`,
  )
  const child = spawn(nginx.path, ['-c', config, '-e', join(directory, 'nginx.log')], {
    stdio: 'ignore',
    env: { ...process.env, ...nginx.env },
  })
  children.push(child)
  await eventually('nginx', async () => ((await answers(port)) ? true : undefined))
  return { target: `127.0.0.1:${port}`, what: 'nginx' }
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const address = server.address()
  server.close()
  await once(server, 'close')
  return typeof address === 'object' && address !== null ? address.port : 0
}

async function answers(port: number): Promise<boolean> {
  const socket = connect(port, '127.0.0.1')
  try {
    await once(socket, 'connect')
    return true
  } catch {
    return false // not yet: asked again until the deadline
  } finally {
    socket.destroy()
  }
}

async function resolve(name: string, port: number): Promise<string> {
  if (hasCommand('dig')) {
    const { stdout } = spawnSync('dig', ['@127.0.0.1', '-p', String(port), name, '+short', '+tries=1'], {
      encoding: 'utf8',
    })
    return stdout.trim()
  }
  const resolver = new Resolver()
  resolver.setServers([`127.0.0.1:${port}`])
  return (await resolver.resolve4(name))[0] ?? ''
}

/** The page by name, with the gateway's trace. */
async function fetchPage(service: Service, address: string): Promise<{ body: Buffer; trace: string }> {
  if (hasCommand('curl')) {
    const headers = join(directory, 'headers')
    const { status, stdout, stderr } = spawnSync(
      'curl',
      [
        '-sS',
        '--fail',
        '-D',
        headers,
        '-H',
        'x-kith-trace: 1',
        '--resolve',
        `${service.fqdn}:${service.port}:${address}`,
        service.url,
      ],
      { maxBuffer: 1 << 26 },
    )
    if (status !== 0) throw new Error(`curl: ${stderr.toString()}`)
    return {
      body: stdout,
      trace: /^x-kith-trace: (.*)$/im.exec(readFileSync(headers, 'utf8'))?.[1]?.trim() ?? '',
    }
  }
  const { promise, resolve: done, reject } = Promise.withResolvers<{ body: Buffer; trace: string }>()
  get(
    { host: address, port: service.port ?? 0, headers: { host: service.fqdn, 'x-kith-trace': '1' } },
    (answer) => {
      const chunks: Buffer[] = []
      answer.on('data', (chunk: Buffer) => chunks.push(chunk))
      answer.on('end', () =>
        done({ body: Buffer.concat(chunks), trace: String(answer.headers['x-kith-trace'] ?? '') }),
      )
    },
  ).on('error', reject)
  return promise
}

function printTrace(
  client: DemoNode,
  provider: DemoNode,
  service: Service,
  peer: Peer,
  { address, trace, rttMs }: { address: string; trace: string; rttMs: number | null | undefined },
): void {
  const certificate = peer.certificate
  console.log(`
The request ${service.url} on "${client.name}":
  name         ${service.fqdn} is ${address} here (DNS of ${client.name}, port ${client.ready.dns?.port})
  gateway      ${address}:${service.port}: ${trace}
  path         ${peer.path} to ${provider.name} ${peer.id}, ${rttMs?.toFixed(1)} ms round trip
  channel      Noise IK, key epoch ${peer.epoch}, since ${peer.rotatedAt === null ? '-' : new Date(peer.rotatedAt).toISOString()}
  certificate  ${provider.name} <- authority ${certificate?.issuer} <- root of mesh ${client.ready.mesh?.id.slice(0, 8)}
               serial ${certificate?.serial}, until ${certificate === null ? '-' : new Date(certificate.expires).toISOString()}
  provider     ${provider.name} let ${client.name} in: open to ${service.allowed.join(', ')}`)
}

async function demo(): Promise<void> {
  await installPrograms()
  const page = Buffer.concat([
    Buffer.from('<!doctype html><title>Kith</title><pre>'),
    Buffer.from(randomBytes(PAGE_BYTES / 2).toString('hex')),
  ])
  const hash = createHash('sha256').update(page).digest('hex')
  const one = await step('node "one" founds the mesh "demo"', () => startNode('one', '--create', 'demo'))
  const { invite } = await step('one makes an invite for two machines', () =>
    one.client.post<{ invite: string }>('/invites', { uses: 2 }),
  )
  const two = await step('node "two" joins with it', () => startNode('two', '--join', invite))
  const three = await step('node "three" joins with it', () => startNode('three', '--join', invite))
  const { target, what } = await step('a web server starts beside "two", with a page of 4 MB', () =>
    startWebServer(page),
  )
  await step(`two publishes it as "wiki": ${what}`, () =>
    two.client.post('/services', { name: 'wiki', target }),
  )
  const service = await step('three knows the name', () =>
    eventually('the name', async () =>
      (await three.client.get<Service[]>('/services')).find(
        ({ name, address }) => name === 'wiki' && address !== null,
      ),
    ),
  )
  const address = await step(
    `three resolves ${service.fqdn} with ${hasCommand('dig') ? 'dig' : 'its own resolver'}`,
    () => resolve(service.fqdn, three.ready.dns?.port ?? 0),
  )
  const { body, trace } = await step(
    `three fetches the page with ${hasCommand('curl') ? 'curl' : 'node'}`,
    () => fetchPage(service, address),
  )
  if (createHash('sha256').update(body).digest('hex') !== hash)
    throw new Error(`the page arrived altered: ${body.length} of ${page.length} bytes`)
  console.log(
    `         ${body.length.toLocaleString('en')} bytes, SHA-256 ${hash.slice(0, 16)}… as published`,
  )
  const peer = (await three.client.get<Peer[]>('/peers')).find(({ name }) => name === 'two')
  if (peer === undefined) throw new Error('three does not know two')
  const [ping] = await Array.fromAsync(
    three.client.stream<PingReply>(
      'POST',
      '/ping',
      { peer: 'two', count: 1 },
      AbortSignal.timeout(STEP_TIMEOUT_MS),
    ),
  )
  printTrace(three, two, service, peer, { address, trace, rttMs: ping?.rttMs })
  const missing = missingForLab()
  if (missing !== undefined)
    return console.log(`\nTwo machines behind NATs are not shown: that needs ${missing}`)
  console.log('\nBehind NATs, each machine in a network namespace of its own:')
  await demoBehindNats(step)
}

/** Ends what was started, newest first, and waits for it. */
async function cleanUp(): Promise<void> {
  for (const child of children.toReversed()) {
    if (child.exitCode !== null || child.signalCode !== null) continue
    child.kill('SIGTERM')
    await once(child, 'exit')
  }
  rmSync(directory, { recursive: true, force: true })
}

process.once('SIGINT', () => void cleanUp().then(() => process.exit(130)))
try {
  await demo()
} catch (error) {
  console.error(`demo: ${(error as Error).message}`)
  process.exitCode = 1
} finally {
  await cleanUp()
}
