import { z } from 'zod'
import type { Clock, Store } from '../../protocols/common/ports.ts'
import { NamingError } from '../../protocols/naming/errors.ts'
import type { RegisteredService } from '../../protocols/registry/wire.ts'
import { checkName } from '../../protocols/naming/names.ts'
import { TunnelError } from '../../protocols/tunnel/errors.ts'
import { ServiceProtocolSchema, type PublishInput } from '../api/schemas.ts'
import { parseTarget, type Target } from './target.ts'

/** One registration record (1,400 bytes) holds this many services. */
export const PUBLICATIONS_MAX = 16
const PREFIX = 'service/'

const StoredSchema = z.strictObject({
  name: z.string(),
  target: z.string(),
  proto: ServiceProtocolSchema,
  tags: z.array(z.string()),
  allow: z.array(z.string()),
  crossSite: z.boolean(),
  publishedAt: z.number(),
  health: z.string().default('tcp'),
})

/** A service this node provides. */
export interface Publication extends z.infer<typeof StoredSchema> {
  readonly port: number
  readonly resolved: Target
}

/** What this node publishes; on disk before anyone hears of it, so a crash loses nothing. */
export interface Publications {
  list(): readonly Publication[]
  get(name: string): Publication | undefined
  /** @throws NamingError, TunnelError `target-invalid`, `too-many-services`. */
  add(input: PublishInput): Promise<Publication>
  /** Puts back what `add` replaced. */
  restore(publication: Publication): Promise<void>
  /** @throws TunnelError `service-unknown`. */
  remove(name: string): Promise<void>
}

/**
 * Opens the list kept in `store`.
 * @param ownerOf the other member that already answers for a name, if one does.
 */
export async function openPublications(
  store: Store,
  clock: Clock,
  ownerOf: (name: string) => string | undefined,
): Promise<Publications> {
  const published = new Map<string, Publication>()
  for await (const [key, bytes] of store.entries(PREFIX)) {
    const stored = StoredSchema.parse(JSON.parse(new TextDecoder().decode(bytes)))
    published.set(key.slice(PREFIX.length), resolve(stored))
  }
  const save = (stored: z.infer<typeof StoredSchema>): Promise<void> =>
    store.put(PREFIX + stored.name, new TextEncoder().encode(JSON.stringify(stored)), { sync: true })
  return {
    list: () => [...published.values()],
    get: (name) => published.get(name),
    async add(input) {
      checkName(input.name)
      const owner = ownerOf(input.name)
      if (owner !== undefined)
        throw new NamingError('name-taken', `The name "${input.name}" is published by ${owner}`)
      const before = published.get(input.name)
      if (before === undefined && published.size >= PUBLICATIONS_MAX) {
        throw new TunnelError(
          'too-many-services',
          `This node publishes ${published.size} services, the limit is ${PUBLICATIONS_MAX}`,
        )
      }
      const parsed = parseTarget(input.target)
      const stored: z.infer<typeof StoredSchema> = {
        name: input.name,
        target: parsed.target.kind === 'folder' ? parsed.target.path : input.target,
        proto: input.proto ?? parsed.proto,
        tags: input.tags,
        allow: input.allow,
        crossSite: input.crossSite,
        health: input.health,
        publishedAt: before?.publishedAt ?? clock.now(),
      }
      await save(stored)
      const publication = resolve(stored)
      published.set(input.name, publication)
      return publication
    },
    async restore(publication) {
      await save(StoredSchema.strip().parse(publication))
      published.set(publication.name, publication)
    },
    async remove(name) {
      if (!published.has(name))
        throw new TunnelError('service-unknown', `This node does not publish "${name}"`)
      await store.delete(PREFIX + name, { sync: true })
      published.delete(name)
    },
  }
}

/** What is published, for the first announcement of a node: one without services would take them away for a moment. */
export async function storedServices(store: Store, clock: Clock): Promise<RegisteredService[]> {
  const publications = await openPublications(store, clock, () => undefined)
  return publications.list().map((publication) => toRegisteredService(publication, true))
}

/** A folder that has vanished since must not keep the node from starting: it is a target that refuses, like a stopped program. */
function resolve(stored: z.infer<typeof StoredSchema>): Publication {
  try {
    const { target, port } = parseTarget(stored.target)
    return { ...stored, port, resolved: target }
  } catch (error) {
    if (!(error instanceof TunnelError)) throw error
    return { ...stored, port: 80, resolved: { kind: 'folder', path: stored.target } }
  }
}

/** The publication as the registration record shows it to others; the target stays private. */
export function toRegisteredService(publication: Publication, healthy: boolean): RegisteredService {
  const { name, proto, port, tags, allow, crossSite, publishedAt } = publication
  return { name, proto, port, tags, allow, crossSite, healthy, publishedAt }
}
