import { KithError, type ReasonTable } from '../common/errors.ts'
import type { CertificateCode } from '../admission/errors.ts'

/** Why a member entry is refused. */
export const REGISTRY_REASONS = {
  'registration-malformed': {
    summary: 'The registration does not decode.',
    fix: 'Update both nodes to the same version.',
  },
  'registration-signature-invalid': {
    summary: 'The registration is not signed by its own key for this mesh.',
    fix: '',
  },
  'registration-from-the-future': {
    summary: 'The registration is dated more than five minutes ahead of this clock.',
    fix: 'Check the clocks of both machines.',
  },
  'registration-expired': {
    summary: 'The lease of the registration has ended.',
    fix: 'It is renewed as soon as its node is up again.',
  },
  'registration-wrong-key': {
    summary: 'The registration and the certificate beside it are of different keys.',
    fix: '',
  },
  'registration-too-big': {
    summary: 'The node announces more than fits in one registration.',
    fix: 'Publish fewer services on this node, or with shorter lists of tags and subjects.',
  },
  'record-outdated': {
    summary: 'A copy of a registration offered in the DHT is older than what this node knows.',
    fix: 'Nothing to do: it was refused. Repeated events mean that somebody puts recordings back.',
  },
  'record-copies-full': {
    summary: 'This node keeps as many copies of registrations for the DHT as it can.',
    fix: 'Nothing to do: other nodes keep them, and every member table has them.',
  },
  'copies-unreachable': {
    summary: 'The registration of this node could not be copied to other nodes for cold look-ups.',
    fix: 'Nothing to do while the member tables are in step (`kith peers`); it is tried again at the next change.',
  },
  'table-full': {
    summary: 'The member table holds as many members as it can.',
    fix: 'Split the mesh; zones for larger meshes are not built yet.',
  },
  equivocation: {
    summary: 'One key signed two different records under the same number.',
    fix: 'The identity was copied to two machines: revoke it and join one of them anew.',
  },
} as const satisfies ReasonTable

/** Code of a registry failure. */
export type RegistryCode = CertificateCode | keyof typeof REGISTRY_REASONS
/** An expected failure around registrations. */
export class RegistryError extends KithError<RegistryCode> {}
