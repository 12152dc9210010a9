import { readStory, type Story, type StoryInput } from './story.ts'

const open = (name: string) => ({ name, kind: 'open' as const })
const home = (name: string, kind: StoryInput['sites'][number]['kind'], nodes = 1) => ({ name, kind, nodes })
const SIX_OPEN = ['a', 'b', 'c', 'd', 'e', 'f'].map(open)

const CI: readonly StoryInput[] = [
  {
    name: 'halves-cut',
    summary: 'Three houses are cut from three for a minute.',
    sites: SIX_OPEN,
    steps: [
      { kind: 'cut', at: 2, until: 62, sites: ['d', 'e', 'f'] },
      {
        kind: 'check',
        at: 55,
        name: 'each half goes on',
        groups: [
          ['a', 'b', 'c'],
          ['d', 'e', 'f'],
        ],
      },
      { kind: 'check', at: 85, name: 'whole again' },
    ],
  },
  {
    name: 'one-way-block',
    summary: 'One house hears everything, and nobody hears it.',
    sites: SIX_OPEN,
    steps: [
      { kind: 'cut', at: 2, until: 50, sites: ['f'], direction: 'out' },
      {
        kind: 'check',
        at: 45,
        name: 'it is held dead',
        groups: [['a', 'b', 'c', 'd', 'e']],
        of: ['a', 'b', 'c', 'd', 'e'],
      },
      { kind: 'check', at: 72, name: 'whole again' },
    ],
  },
  {
    name: 'flapping-link',
    summary: "A house's link is down for 4 s and up for 6 s, again and again.",
    sites: SIX_OPEN,
    steps: [
      { kind: 'flap', at: 2, until: 42, sites: ['f'], downMs: 4_000, upMs: 6_000 },
      { kind: 'check', at: 62, name: 'whole again' },
    ],
  },
  {
    name: 'isolated',
    summary: 'One node is alone for 90 s.',
    sites: SIX_OPEN,
    steps: [
      { kind: 'cut', at: 2, until: 92, sites: ['f'] },
      { kind: 'check', at: 85, name: 'it is held dead', groups: [['a', 'b', 'c', 'd', 'e'], ['f']] },
      { kind: 'check', at: 112, name: 'whole again' },
    ],
  },
  {
    name: 'kill-and-restart',
    summary: 'A process is killed, and comes back 40 s later; one way is far and loses packets.',
    sites: SIX_OPEN,
    links: [{ one: 'a', other: 'b', delayMs: 80, jitterMs: 20, lossRate: 0.02 }],
    steps: [
      { kind: 'kill', at: 2, until: 42, node: 'e' },
      { kind: 'check', at: 38, name: 'it is held dead' },
      { kind: 'check', at: 60, name: 'whole again' },
    ],
  },
  {
    name: 'nat-reboot',
    summary: 'Two routers forget everything they translate.',
    sites: [
      open('a'),
      open('b'),
      home('c', 'port-restricted'),
      home('d', 'full-cone'),
      home('e', 'symmetric'),
      home('f', 'cgnat'),
    ],
    steps: [
      { kind: 'reboot-nat', at: 5, site: 'c' },
      { kind: 'reboot-nat', at: 6, site: 'e' },
      { kind: 'check', at: 45, name: 'whole again' },
    ],
  },
  {
    name: 'relay-killed',
    summary: 'One of two relays is killed; homes that cannot meet use the other.',
    sites: [
      open('a'),
      open('b'),
      home('c', 'symmetric'),
      home('d', 'symmetric'),
      home('e', 'port-restricted'),
      home('f', 'address-restricted'),
    ],
    steps: [
      { kind: 'kill', at: 5, node: 'b' },
      { kind: 'check', at: 45, name: 'the others go on' },
    ],
  },
  {
    name: 'roaming',
    summary: 'A laptop goes from one home to another.',
    sites: [
      open('a'),
      open('b'),
      home('c', 'port-restricted', 2),
      home('d', 'full-cone'),
      home('e', 'symmetric'),
    ],
    steps: [
      { kind: 'roam', at: 5, node: 'c-2', to: 'd' },
      { kind: 'check', at: 45, name: 'whole again' },
    ],
  },
  {
    name: 'narrow-doors',
    summary: 'Homes whose routers pass only TCP, or only port 443, are served as any other.',
    sites: [
      { ...open('a'), ports: [4701, 443] },
      open('b'),
      home('c', 'udp-blocked'),
      home('d', 'only-443'),
      home('e', 'cgnat'),
      home('f', 'firewall'),
    ],
    steps: [{ kind: 'check', at: 10, name: 'everybody is served' }],
  },
]

const FULL: readonly StoryInput[] = [
  {
    name: 'isolated-long',
    summary: 'One node is alone for ten minutes.',
    sites: SIX_OPEN,
    steps: [
      { kind: 'cut', at: 2, until: 602, sites: ['f'] },
      { kind: 'check', at: 590, name: 'it is held dead', groups: [['a', 'b', 'c', 'd', 'e'], ['f']] },
      { kind: 'check', at: 680, name: 'whole again' },
    ],
  },
]

/** Stories that run on each change. */
export const STORIES: readonly Story[] = CI.map(readStory)
/** Those that take longer. */
export const LONG_STORIES: readonly Story[] = FULL.map(readStory)
