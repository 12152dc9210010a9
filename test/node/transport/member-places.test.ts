import test from 'ava'
import { memberPlaces } from '../../../node/transport/member-places.ts'
import { describeEndpoint } from '../../../protocols/traversal/endpoint.ts'
import { MuxRegistry, type ConnectionPlace } from '../../../protocols/mux/registry.ts'
import type { ChannelMuxer } from '../../../protocols/mux/service.ts'

const OPEN = { status: 'open' } as ChannelMuxer
const ENDS = { close: () => undefined, cut: () => undefined }
const DIALLED: ConnectionPlace = {
  via: null,
  remote: '/ip4/5.6.7.8/tcp/4701',
  local: null,
  dialled: true,
  isPunched: false,
}

test('members count by what their connections and announcements say, each once; others are left out', (t) => {
  const muxes = new MuxRegistry()
  const add = (peerId: string, place: Partial<ConnectionPlace>): (() => void) =>
    muxes.add(peerId, OPEN, { ...DIALLED, ...place }, ENDS)
  const end = add('dialled', {})
  add('dialled', { remote: '/ip4/5.6.7.8/tcp/51000', isPunched: true })
  add('punched', { remote: '/ip4/9.9.9.9/tcp/51000', isPunched: true })
  add('restarted', { remote: '/ip6/::ffff:8.8.4.4/tcp/51000', dialled: false })
  add('lan', { remote: '/ip4/192.168.1.7/tcp/4701' })
  add('relayed', { via: 'dialled' })
  const announced: Record<string, string[]> = {
    restarted: ['/ip4/8.8.4.4/tcp/4701', '/ip4/10.0.0.1/tcp/4701', '/dns4/relay.example/tcp/4701'],
    lan: ['/ip4/192.168.1.7/tcp/4701'],
    relayed: ['/ip4/5.6.7.8/tcp/4701'],
  }
  const found = (): string[] =>
    memberPlaces(muxes, (id) => announced[id] ?? []).flatMap(({ peerId, places }) =>
      places.map(({ known, endpoint }) => `${peerId} ${known} ${describeEndpoint(endpoint)}`),
    )
  t.deepEqual(found(), ['dialled dialled 5.6.7.8:4701', 'restarted met 8.8.4.4:4701'])
  end()
  t.deepEqual(found(), ['restarted met 8.8.4.4:4701'])
})
