import type { Status } from '../../../node/api/schemas.ts'
import { CopyButton } from '../parts/copy-button.tsx'
import '../styles/facts.css'

/** Identity, addresses and ports of this node. */
export function NodeFacts({ status }: { status: Status }) {
  return (
    <section class="card" aria-labelledby="facts">
      <h2 id="facts">This node</h2>
      <dl>
        <dt>Peer id</dt>
        <dd class="with-copy">
          <code class="cut">{status.node.id}</code>
          <CopyButton text={status.node.id} what="the peer id" />
        </dd>
        <dt>Roles</dt>
        <dd>{status.roles.join(', ') || 'none'}</dd>
        <dt>Listens on</dt>
        <dd>
          {status.listen.map((address) => (
            <code key={address} class="line">
              {address}
            </code>
          ))}
        </dd>
        <dt>Ports</dt>
        <dd>
          {status.gateway ? `gateway ${status.gateway.port}` : 'no gateway'} ·{' '}
          {status.dns ? `DNS ${status.dns.port}` : 'no DNS'}
        </dd>
        {status.mesh ? (
          <>
            <dt>Mesh id</dt>
            <dd>
              <code class="cut">{status.mesh.id}</code>
            </dd>
          </>
        ) : null}
      </dl>
    </section>
  )
}
