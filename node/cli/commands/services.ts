import { Option, type Command } from 'commander'
import { join } from 'node:path'
import { TunnelError } from '../../../protocols/tunnel/errors.ts'
import type { Forward, PublishInput, Service, Status } from '../../api/schemas.ts'
import { detach, findChromium, hasDisplay, openUrl, realNameArguments } from '../browser.ts'
import { contextOf, type Context } from '../context.ts'
import { CliError } from '../errors.ts'
import { resolve } from 'node:path'
import { existsSync } from 'node:fs'

interface PublishOptions {
  proto?: PublishInput['proto']
  tag: string[]
  allow: string[]
  crossSite?: true
  health?: string
}

/** `publish`, `unpublish`, `open`, `forward`. */
export function addServiceCommands(program: Command): void {
  program
    .command('publish')
    .description('make something that runs here reachable by name in the mesh')
    .argument('<name>', 'a DNS label; the service becomes NAME.MESH.internal')
    .argument('<target>', 'port, host:port, URL or folder')
    .addOption(new Option('--proto <proto>', 'how the service speaks').choices(['http', 'https', 'tcp']))
    .option('--tag <tag>', 'tag the service (repeatable)', collect, [])
    .option('--allow <who>', 'members, peer:NAME, tag:TAG or lan (repeatable; default members)', collect, [])
    .option('--health <spec>', 'how to check it: tcp, http:/path or none', 'tcp')
    .option('--cross-site', 'pages of other sites may use it from a browser')
    .action(async (name: string, target: string, options: PublishOptions, command: Command) => {
      const { client, out } = contextOf(command)
      const service = await client.post<Service>('/services', {
        name,
        // The node's working directory is not the user's: a folder is meant from here.
        target: existsSync(target) ? resolve(target) : target,
        ...(options.proto === undefined ? {} : { proto: options.proto }),
        tags: options.tag,
        allow: options.allow.length === 0 ? ['members'] : options.allow,
        crossSite: options.crossSite === true,
        health: options.health ?? 'tcp',
      })
      out.show(
        service,
        () =>
          `${service.name} is published as ${service.url}\n  opens here at ${service.localUrl ?? `${service.address}:${service.port}`}\n  open to ${service.allowed.join(', ')}`,
      )
    })
  program
    .command('unpublish')
    .description('take a service of this node out of the mesh')
    .argument('<name>')
    .action(async (name: string, _options, command: Command) => {
      const { client, out } = contextOf(command)
      await client.delete(`/services/${encodeURIComponent(name)}`)
      out.show({ unpublished: name }, () => `${name} is no longer published`)
    })
  program
    .command('open')
    .description('open a service in a browser, under its real name where Chromium is installed')
    .argument('<name>')
    .option('--print', 'print the address instead')
    .action(async (name: string, options: { print?: true }, command: Command) => {
      await open(contextOf(command), name, options.print === true)
    })
  program
    .command('forward')
    .description('a local port that reaches a service until ^C')
    .argument('<name>')
    .argument('[port]', 'local port; 0 takes a free one', Number, 0)
    .action(async (name: string, port: number, _options, command: Command) => {
      const { client, out, signal } = contextOf(command)
      if (!Number.isInteger(port) || port < 0 || port > 65_535)
        throw new CliError('usage', `"${port}" is no port`)
      for await (const forward of client.stream<Forward>('POST', '/forwards', { name, port }, signal)) {
        out.show(forward, () => `${forward.name} is at ${forward.address}:${forward.port} until ^C`)
      }
      if (!signal.aborted) throw new CliError('not-answering', 'The node stopped, and the forward with it')
    })
}

async function open({ client, out, data }: Context, name: string, printOnly: boolean): Promise<void> {
  const services = await client.get<Service[]>('/services')
  const service = services.find((candidate) => candidate.name === name || candidate.fqdn === name)
  if (service === undefined) throw new TunnelError('service-unknown', `No member publishes "${name}"`)
  const { gateway, mesh } = await client.get<Status>('/status')
  const chromium = findChromium()
  const plain = service.localUrl ?? service.url
  if (printOnly || !hasDisplay()) {
    out.show({ url: plain, realUrl: service.url }, () => plain)
    return
  }
  if (chromium !== undefined && gateway !== null && mesh !== null) {
    const window = {
      url: service.url,
      domain: mesh.domain,
      gateway: '127.0.0.1',
      profile: join(data, 'browser'),
    }
    detach(chromium, realNameArguments(window))
    out.show({ url: service.url }, () => `opening ${service.url}`)
    return
  }
  openUrl(plain)
  out.show({ url: plain }, () => `opening ${plain}`)
}

function collect(value: string, before: string[]): string[] {
  return [...before, value]
}
