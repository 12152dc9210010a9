import { BOOTSTRAP_REASONS } from '../bootstrap/errors.ts'
import { ADMISSION_REASONS, CERTIFICATE_REASONS, REVOCATION_REASONS } from '../protocols/admission/errors.ts'
import { COMMON_REASONS, type ReasonTable } from '../protocols/common/errors.ts'
import { MEMBERSHIP_REASONS } from '../protocols/membership/errors.ts'
import { NAMING_REASONS } from '../protocols/naming/errors.ts'
import { REGISTRY_REASONS } from '../protocols/registry/errors.ts'
import { RELAY_REASONS } from '../protocols/relay/errors.ts'
import { CHANNEL_REASONS } from '../protocols/secure-channel/errors.ts'
import { TRAVERSAL_REASONS } from '../protocols/traversal/errors.ts'
import { BYTE_STREAM_REASONS } from '../protocols/tunnel/byte-stream.ts'
import { TUNNEL_REASONS } from '../protocols/tunnel/errors.ts'
import { CLI_REASONS } from './cli/errors.ts'
import { CONFIG_REASONS } from './config/errors.ts'
import { CONTROL_REASONS } from './control-errors.ts'
import { DIAGNOSTICS_REASONS } from './diagnostics/errors.ts'
import { NODE_REASONS } from './errors.ts'
import { HTTP_REASONS } from './http/errors.ts'
import { LISTEN_REASONS } from './listening.ts'
import { PORT_MAPPING_REASONS } from './port-mapping/errors.ts'
import { GATEWAY_REASONS } from './services/gateway/errors.ts'
import { STORAGE_REASONS } from './storage/errors.ts'

/** Every reason code by area, as REASONS.md lists them. */
export const REASON_AREAS: Readonly<Record<string, ReasonTable>> = {
  'Any decoder': COMMON_REASONS,
  Configuration: CONFIG_REASONS,
  'Data directory': STORAGE_REASONS,
  Listening: LISTEN_REASONS,
  'Command line': CLI_REASONS,
  Dashboard: HTTP_REASONS,
  'Secure channel': CHANNEL_REASONS,
  Certificates: CERTIFICATE_REASONS,
  Revocations: REVOCATION_REASONS,
  'Invites and joining': ADMISSION_REASONS,
  Registration: REGISTRY_REASONS,
  Membership: MEMBERSHIP_REASONS,
  Names: NAMING_REASONS,
  'Reaching services': TUNNEL_REASONS,
  'Streams between nodes': BYTE_STREAM_REASONS,
  'Finding peers': BOOTSTRAP_REASONS,
  'Ways through NATs': TRAVERSAL_REASONS,
  Relays: RELAY_REASONS,
  'Port mapping': PORT_MAPPING_REASONS,
  Node: NODE_REASONS,
  Requests: CONTROL_REASONS,
  Reports: DIAGNOSTICS_REASONS,
  Gateway: GATEWAY_REASONS,
}

/** All tables in one, for the `fix` of an error. */
export const ALL_REASONS: ReasonTable = Object.assign({}, ...Object.values(REASON_AREAS)) as ReasonTable

/** What to do about a reason code; the empty string for an unknown one. */
export function fixOf(code: string): string {
  return ALL_REASONS[code]?.fix ?? ''
}

/** REASONS.md, whole. */
export function renderReasons(): string {
  const sections = Object.entries(REASON_AREAS).map(([area, table]) => {
    const rows = Object.entries(table).map(
      ([code, { summary, fix }]) => `| \`${code}\` | ${summary} | ${fix} |`,
    )
    return `## ${area}\n\n| code | what it means | what to do |\n|---|---|---|\n${rows.join('\n')}\n`
  })
  return `# Reason codes\n\nEvery denial, failure and warning of Kith carries one of these stable codes: in \`--json\` answers, in \`kith why\`, in the event log, in the gateway's error pages and in the dashboard. This page is generated from the code (\`npm run reasons\`); a test fails when it is out of date.\n\n${sections.join('\n')}`
}
