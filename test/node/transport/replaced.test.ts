import test from 'ava'
import { isReplaced } from '../../../node/transport/replaced.ts'
import type { ListedMuxer } from '../../../protocols/mux/registry.ts'
import { createPath, type PathState } from '../../../protocols/traversal/path.ts'

/** Ms after the direct connection came into use. */
const LATER = 5000

interface Case {
  readonly listed?: Partial<Pick<ListedMuxer, 'id' | 'via' | 'isSilent'>>
  readonly state?: Partial<PathState>
  readonly bareChannels?: number
  readonly protocols?: readonly string[]
  readonly now?: number
  readonly isClosed: boolean
}

const CASES: Readonly<Record<string, Case>> = {
  'a relayed connection beside a direct one': { isClosed: true },
  'with streams that move by themselves': { protocols: ['mem', 'mem'], isClosed: true },
  'with a stream that stays': { protocols: ['mem', 'download'], isClosed: false },
  'with a bare channel': { bareChannels: 1, isClosed: false },
  'before what was sent on it has arrived': { now: LATER - 1, isClosed: false },
  'without a direct one in use': { state: { direct: null }, isClosed: false },
  'while it is silent': { listed: { isSilent: true }, isClosed: false },
  'another direct one, on the side that leads': { listed: { via: null }, isClosed: true },
  'another direct one, on the side that follows': {
    listed: { via: null },
    state: { leads: false },
    isClosed: false,
  },
  'the direct one in use': { listed: { id: 'used', via: null }, isClosed: false },
  'a direct one that is being asked': { listed: { id: 'asked', via: null }, isClosed: false },
}

for (const [
  title,
  { listed, state, bareChannels = 0, protocols = [], now = LATER, isClosed },
] of Object.entries(CASES)) {
  test(`${isClosed ? 'closed' : 'kept'}: ${title}`, (t) => {
    const muxer = { bareChannels, streams: protocols.map((protocol) => ({ protocol })) }
    const connection = {
      id: 'old',
      via: 'relay',
      isSilent: false,
      ...listed,
      muxer,
    } as unknown as ListedMuxer
    const path = createPath(true, 0)
    Object.assign(
      path,
      { direct: { connection: 'used', since: 0 }, probing: { connection: 'asked', until: 0 } },
      state,
    )
    t.is(
      isReplaced(connection, path, now, (protocol) => protocol === 'mem'),
      isClosed,
    )
  })
}
