import { KithError } from '../../protocols/common/errors.ts'
import type { ServiceEntry } from '../../protocols/naming/directory.ts'
import { TunnelError } from '../../protocols/tunnel/errors.ts'
import type { Ways } from '../api/path-schemas.ts'
import type { Why } from '../api/schemas.ts'
import { fixOf } from '../reasons.ts'
import type { MeshView, ServiceMember } from './mesh-view.ts'
import type { Reach } from './reach.ts'

type Verdict = Omit<Why, 'ways'>

/** What explaining needs to know of the connections. */
export interface PathView {
  pathTo(peerId: string): 'direct' | 'relay' | 'none'
  /** Why the last dial failed, if it did. */
  lastFailure(peerId: string): { code: string; text: string; fix?: string } | undefined
  /** Ways to the peer and what was tried. */
  waysTo(peerId: string): Ways
  /** Round trip in ms; rejects with the reason. */
  probe(peerId: string): Promise<number>
}

/**
 * Finds out, by really trying, whether a service or a member can be reached from here, and why not.
 * @throws TunnelError `service-unknown` when the subject is neither.
 */
export async function explain(subject: string, mesh: MeshView, reach: Reach, paths: PathView): Promise<Why> {
  const member = mesh.members().find((candidate) => candidate.id === subject || candidate.name === subject)
  let entry: ServiceEntry | undefined
  try {
    entry = reach.find(subject)
  } catch (error) {
    if (!(error instanceof TunnelError)) throw error
  }
  // Whether it is reached is tried first: that may find or lose a way.
  const peer = entry?.provider ?? member
  const verdict =
    entry !== undefined
      ? await explainService(subject, entry, mesh, reach, paths)
      : member !== undefined && (await explainMember(subject, member, paths))
  if (verdict !== false && peer !== undefined)
    return { ...verdict, ways: verdict.path === 'local' ? null : paths.waysTo(peer.id) }
  throw new TunnelError('service-unknown', `"${subject}" is neither a service nor a member of ${mesh.domain}`)
}

async function explainService(
  subject: string,
  entry: ServiceEntry,
  mesh: MeshView,
  reach: Reach,
  paths: PathView,
): Promise<Verdict> {
  const isOwn = entry.provider.id === mesh.self.id
  try {
    await reach.check(entry)
    const text = isOwn
      ? 'This node provides it, and its target answers'
      : `${entry.provider.name} let this node in, and the target answers`
    return {
      subject,
      verdict: 'reachable',
      path: isOwn ? 'local' : paths.pathTo(entry.provider.id),
      reasons: [{ code: 'ok', text, fix: '' }],
    }
  } catch (error) {
    if (!(error instanceof KithError)) throw error
    const reasons = [reasonOf(error.code, error.message)]
    const dial = isOwn ? undefined : paths.lastFailure(entry.provider.id)
    if (dial !== undefined && (error.code === 'peer-unreachable' || error.code === 'peer-dead'))
      reasons.push(reasonOf(dial.code, dial.text))
    return {
      subject,
      verdict: error.code === 'not-allowed' ? 'denied' : 'unreachable',
      path: isOwn ? 'local' : paths.pathTo(entry.provider.id),
      reasons,
    }
  }
}

async function explainMember(subject: string, member: ServiceMember, paths: PathView): Promise<Verdict> {
  if (member.self)
    return {
      subject,
      verdict: 'reachable',
      path: 'local',
      reasons: [{ code: 'ok', text: 'This is the node itself', fix: '' }],
    }
  try {
    const rttMs = await paths.probe(member.id)
    return {
      subject,
      verdict: 'reachable',
      path: paths.pathTo(member.id),
      reasons: [{ code: 'ok', text: `${member.name} answered in ${rttMs.toFixed(1)} ms`, fix: '' }],
    }
  } catch (error) {
    if (!(error instanceof KithError)) throw error
    const dial = paths.lastFailure(member.id)
    const reasons = [
      reasonOf(error.code, error.message),
      ...(dial === undefined ? [] : [reasonOf(dial.code, dial.text)]),
    ]
    return { subject, verdict: 'unreachable', path: paths.pathTo(member.id), reasons }
  }
}

function reasonOf(code: string, text: string): Why['reasons'][number] {
  return { code, text, fix: fixOf(code) }
}
