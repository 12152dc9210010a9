import { isAddressV4 } from '../dns/address.ts'
import type { ResourceRecord } from '../dns/records.ts'
import type { Directory, ServiceEntry } from './directory.ts'
import { ANSWER_TTL_S } from './limits.ts'
import { nodeName, parseName } from './names.ts'

/** Where this node listens for a service. */
export interface LocalEndpoint {
  readonly address: string
  readonly port: number
}

/** What one node answers for the mesh's domain. */
export interface LocalView {
  readonly domain: string
  readonly directory: Directory
  /** Where this node listens for the service, if it does. */
  endpoint(entry: ServiceEntry): LocalEndpoint | undefined
  /** This node's own name, for the SOA. */
  readonly self: string
  /** Grows with each change of the table. */
  readonly serial: number
}

/** RFC 1035 §4.1.1, RFC 2308: NODATA is NOERROR without answers. */
export interface ZoneAnswer {
  readonly rcode: 'NOERROR' | 'NXDOMAIN' | 'REFUSED'
  readonly answers: readonly ResourceRecord[]
  readonly authority: readonly ResourceRecord[]
}

/** Answers one question about the mesh's domain; names outside of it are REFUSED here and forwarded by the resolver later. */
export function answerQuestion(view: LocalView, name: string, type: string): ZoneAnswer {
  const parsed = parseName(name, view.domain)
  if (parsed === undefined) return { rcode: 'REFUSED', answers: [], authority: [] }
  const soa = startOfAuthority(view)
  let records: ResourceRecord[] | undefined
  switch (parsed.kind) {
    case 'apex':
      records = [
        soa,
        { name: view.domain, type: 'NS', ttl: ANSWER_TTL_S, data: nodeName(view.self, view.domain) },
      ]
      break
    case 'service': {
      if (parsed.service === 'node') return { rcode: 'NOERROR', answers: [], authority: [soa] } // RFC 4592: an empty non-terminal
      const entry = view.directory.services.get(parsed.service)
      records = entry === undefined ? undefined : serviceRecords(view, name, entry)
      break
    }
    case 'node': {
      const member = view.directory.nodes.get(parsed.node)
      records = member?.addresses.map((address) => ({
        name,
        type: isAddressV4(address) ? 'A' : 'AAAA',
        ttl: ANSWER_TTL_S,
        data: address,
      }))
      break
    }
    case 'provider': {
      const provider = view.directory.nodes.get(parsed.node)
      const service = provider?.services.find((candidate) => candidate.name === parsed.service)
      records =
        provider === undefined || service === undefined
          ? undefined
          : serviceRecords(view, name, { provider, service })
      break
    }
    case 'other':
      records = underscoreRecords(view, name)
      break
  }
  if (records === undefined) return { rcode: 'NXDOMAIN', answers: [], authority: [soa] }
  const answers = records.filter((record) => record.type === type || type === 'ANY')
  return { rcode: 'NOERROR', answers, authority: answers.length === 0 ? [soa] : [] }
}

function serviceRecords(view: LocalView, name: string, entry: ServiceEntry): ResourceRecord[] {
  const endpoint = view.endpoint(entry)
  if (endpoint === undefined) return [] // exists but nothing listens for it here: NODATA
  return [{ name, type: 'A', ttl: ANSWER_TTL_S, data: endpoint.address }]
}

/** `_http._tcp.wiki.home.internal`: SRV (RFC 2782) for programs that can be told a port. */
function underscoreRecords(view: LocalView, name: string): ResourceRecord[] | undefined {
  const match = /^_([a-z]+)\._tcp\.(.+)$/i.exec(name)
  const parsed = match?.[2] === undefined ? undefined : parseName(match[2], view.domain)
  const entry = parsed?.kind === 'service' ? view.directory.services.get(parsed.service) : undefined
  const endpoint = entry === undefined ? undefined : view.endpoint(entry)
  if (entry === undefined || endpoint === undefined || match?.[1]?.toLowerCase() !== entry.service.proto)
    return undefined
  const target = `${entry.service.name}.${view.domain}`
  return [
    { name, type: 'SRV', ttl: ANSWER_TTL_S, data: { priority: 0, weight: 0, port: endpoint.port, target } },
  ]
}

function startOfAuthority(view: LocalView): ResourceRecord {
  return {
    name: view.domain,
    type: 'SOA',
    ttl: ANSWER_TTL_S,
    data: {
      mname: nodeName(view.self, view.domain),
      rname: `admin.${view.domain}`,
      serial: view.serial,
      refresh: 60,
      retry: 10,
      expire: 3600,
      minimum: ANSWER_TTL_S,
    },
  }
}
