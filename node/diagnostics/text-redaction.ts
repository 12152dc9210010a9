import type { LogEvent } from '../api/schemas.ts'
import { ALL_REASONS } from '../reasons.ts'
import { PROTOCOLS, type Pseudonyms } from './pseudonyms.ts'

const PEER_ID = /^12D3KooW[1-9A-HJ-NP-Za-km-z]{44}$/
const LINK = /\b[a-z]+:\/\/[^\s"'<>]+/gi
/**
 * A multiaddr; or 40 characters and more that could be an invite, a token or a key in any encoding. Peer ids look alike and are let
 * through.
 */
const ADDRESS_OR_SECRET = /(?<![\w/])\/(?:ip4|ip6|dns|dns4|dns6|dnsaddr)\/[^\s"',;)]+|[A-Za-z0-9+/_=-]{40,}/g
/** Absolute, in the home folder, or on a Windows drive. */
const PATH = /(?<![\w/])(?:~|[A-Za-z]:)?[/\\][\w.@~%+ -]*(?:[/\\][\w.@~%+-]+)+/g
const IPV4 = /\b\d{1,3}(?:\.\d{1,3}){3}\b/g
const IPV6 = /(?<![\w:])(?:[0-9a-f]{0,4}:){2,7}[0-9a-f]{0,4}(?![\w:])/gi
/** Two labels at least. */
const HOST = /[\p{L}\p{N}_-]+(?:\.[\p{L}\p{N}_-]+)+/gu
const TOKEN = /[\p{L}\p{N}_]+(?:-[\p{L}\p{N}_]+)*/gu
const AMOUNT = /^\d+(?:ms|s|min|h|d|b|kb|mb|bytes)?$/i
/** Why a member is held as it is, and other fixed words in the fields of events: no reason table has them. */
const FIXED_WORDS =
  'accused heard left link-lost not-heard-of record-renewed redial-refused unknown unreachable vouched inbound outbound ' +
  'ChaChaPoly AESGCM'
/** Words our reasons' texts take as examples of names. */
const EXAMPLES = /^(?:wiki|home|attic|laptop|phone|photos|printer|nas|server|office|web|box|x)$/
/** What the rewriting itself puts in. */
const MARK = /^(?:link|path|secret)$/

/** Words of our event texts that no reason's text has. */
const FURTHER_WORDS = `a about after again ago ahead all already an and another answer answered any are arrived as asked at back be
been before began begins behind but by bytes came cannot certificate clock closed connected connection could cut days dead denied dial
dialled did does down each ends entry error every expired failed files for forward found from frame gone had handshake has have held
hour hours id in incarnation into invite is it its join joined key keys known last later leave limit link links list listen
listening log lost made member members mesh minute minutes more ms must neighbour network never new newer no node nodes not nothing
now of off on once one only open opened or other others our out over own peer peers port process queue reached ready record records
refused relay removed renewed request reset revoked role roles root rotation route same sec second seconds seen sent serial service
session signature since so socket started statement still stopped stored stream suspected tag tcp than that the their them there
this time timeout timed to too tried tunnel unknown until up us used version wait waited waits was which while who with within
without words writes wrong yet you your econnrefused econnreset enetunreach ehostunreach etimedout epipe enotfound enospc eacces connect
read write syscall aborted operation h min ms s d kb mb b undefined null true false internal localhost object decode malformed`

/**
 * Texts for people with everything taken out that could be a name, an address or a secret. By default a word goes: what stays is
 * numbers, peer ids, reason codes and words our own texts are made of, unless somebody is called so.
 */
export class TextRedaction {
  readonly #names: Pseudonyms
  readonly #vocabulary: ReadonlySet<string>

  constructor(names: Pseudonyms) {
    this.#names = names
    this.#vocabulary = vocabulary()
  }

  /** Without links, paths and what looks like a key. */
  withoutSecrets(text: string, address = (given: string): string => given): string {
    return text
      .replaceAll(LINK, 'link')
      .replaceAll(ADDRESS_OR_SECRET, (token) =>
        isAddress(token) ? address(token) : PEER_ID.test(token) ? token : 'secret',
      )
      .replaceAll(PATH, (path) => (isAddress(path) ? path : 'path'))
  }

  fieldsWithoutSecrets(fields: LogEvent['fields']): LogEvent['fields'] {
    return mapTexts(fields, (text) => this.withoutSecrets(text))
  }

  text(text: string): string {
    return this.withoutSecrets(text, (address) => this.#names.address(address))
      .replaceAll(IPV4, (address) => this.#names.word(address))
      .replaceAll(IPV6, (address) => (/^[\d:]{1,8}$/.test(address) ? address : this.#names.word(address)))
      .replaceAll(HOST, (host) => this.#host(host))
      .replaceAll(TOKEN, (token) => this.#token(token))
  }

  fields(fields: LogEvent['fields']): LogEvent['fields'] {
    return mapTexts(fields, (text) => this.text(text))
  }

  /** A reason code of ours stays, as a word of ours; one a peer made up does not. */
  code(code: string | null): string | null {
    return code === null ? null : this.text(code)
  }

  #host(host: string): string {
    const labels = host.split('.')
    if (labels.every((label) => AMOUNT.test(label))) return host
    const isOwn = (label: string): boolean =>
      label === 'internal' || label === 'localhost' || this.#names.isWord(label)
    return labels.map((label) => (isOwn(label) ? label : this.#names.word(label))).join('.')
  }

  #token(token: string): string {
    if (MARK.test(token) || PEER_ID.test(token) || this.#names.isWord(token)) return token
    if (this.#names.knows(token)) return this.#names.word(token)
    const lower = token.toLowerCase()
    if (this.#names.knows(lower)) return this.#names.word(lower)
    return AMOUNT.test(token) || (this.#vocabulary.has(lower) && !EXAMPLES.test(lower))
      ? token
      : this.#names.word(token)
  }
}

function isAddress(token: string): boolean {
  return /^\/(?:ip[46]|dns)/.test(token)
}

function mapTexts(fields: LogEvent['fields'], rewrite: (text: string) => string): LogEvent['fields'] {
  return Object.fromEntries(
    Object.entries(fields).map(([key, value]) => [key, typeof value === 'string' ? rewrite(value) : value]),
  )
}

function vocabulary(): Set<string> {
  const words = new Set([...`${FURTHER_WORDS} ${FIXED_WORDS.toLowerCase()}`.split(/\s+/), ...PROTOCOLS])
  for (const [code, { summary, fix }] of Object.entries(ALL_REASONS)) {
    words.add(code)
    for (const word of `${summary} ${fix}`.toLowerCase().match(/[a-z]+/g) ?? []) words.add(word)
  }
  return words
}
