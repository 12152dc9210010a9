import { useSignal } from '@preact/signals'
import type { Service } from '../../../node/api/schemas.ts'
import { useApp } from '../context.ts'
import { Filter } from '../parts/filter.tsx'
import { Icon } from '../parts/icon.tsx'
import { Empty, Loading } from '../parts/states.tsx'
import { PublishDialog } from './publish-dialog.tsx'
import { ServiceCard } from './service-card.tsx'
import { UnpublishDialog } from './unpublish-dialog.tsx'
import { WhyDialog } from './why-dialog.tsx'
import '../styles/services.css'

/** Everything published in the mesh, and publishing from this node. */
export function Services() {
  const { node } = useApp()
  const filter = useSignal('')
  const open = useSignal<{ dialog: 'publish' } | { dialog: 'why' | 'unpublish'; name: string } | null>(null)
  const close = (): void => void (open.value = null)
  const services = node.services.value
  if (services === null) return <Loading label="Waiting for the services" />
  const words = filter.value.toLowerCase().split(/\s+/).filter(Boolean)
  const shown = services
    .filter((service) => words.every((word) => textOf(service).includes(word)))
    .sort((a, b) => a.name.localeCompare(b.name))
  const publish = (
    <button
      type="button"
      class="primary"
      disabled={!node.writable.value}
      onClick={() => (open.value = { dialog: 'publish' })}
    >
      <Icon name="plus" /> Publish
    </button>
  )
  return (
    <>
      <header class="page">
        <div>
          <h1>Services</h1>
          <p class="muted">{services.length === 1 ? 'one name' : `${services.length} names`} in the mesh</p>
        </div>
        <div class="row">
          <Filter value={filter} label="Filter services" hint="name, peer, who" />
          {publish}
        </div>
      </header>
      {services.length === 0 ? (
        <Empty title="Nothing is published yet">
          <p>Publish a port, a URL or a folder of this machine, and every member can open it by name.</p>
        </Empty>
      ) : shown.length === 0 ? (
        <Empty title="No service matches">
          <p>
            <button type="button" onClick={() => (filter.value = '')}>
              Clear the filter
            </button>
          </p>
        </Empty>
      ) : (
        <ul class="cards">
          {shown.map((service) => (
            <ServiceCard
              key={service.fqdn}
              service={service}
              onWhy={() => (open.value = { dialog: 'why', name: service.name })}
              onUnpublish={() => (open.value = { dialog: 'unpublish', name: service.name })}
            />
          ))}
        </ul>
      )}
      {open.value?.dialog === 'publish' ? <PublishDialog onClose={close} /> : null}
      {open.value?.dialog === 'why' ? (
        <WhyDialog subject={open.value.name} name={open.value.name} onClose={close} />
      ) : null}
      {open.value?.dialog === 'unpublish' ? <UnpublishDialog name={open.value.name} onClose={close} /> : null}
    </>
  )
}

function textOf(service: Service): string {
  const providers = service.providers.map((provider) => provider.name)
  return [service.fqdn, service.proto, ...service.allowed, ...providers].join(' ').toLowerCase()
}
