import type { ReasonTable } from '../../../protocols/common/errors.ts'

/** What the gateway itself refuses; reasons of reaching a service are in `protocols/tunnel/errors.ts`. */
export const GATEWAY_REASONS = {
  'host-unknown': {
    summary: 'The Host header names no service of this mesh.',
    fix: 'Open one of the addresses that `kith services` lists.',
  },
  'not-http': {
    summary: 'The service does not speak HTTP.',
    fix: 'Use `kith forward NAME` and connect with its own program.',
  },
  'lan-refused': {
    summary: 'A machine without mesh identity asked for a service that is for members only.',
    fix: 'Publish it with `--allow lan` as well, or run Kith on that machine.',
  },
  'cross-site-refused': {
    summary: 'Another site asked for this service from your browser.',
    fix: 'Open the service itself, or publish it with `--cross-site` if other sites are meant to use it.',
  },
} as const satisfies ReasonTable
