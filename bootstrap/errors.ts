import { KithError, type ReasonTable } from '../protocols/common/errors.ts'

/** Why peers are not found or not reached. */
export const BOOTSTRAP_REASONS = {
  'address-malformed': {
    summary: 'The text is not a multiaddr.',
    fix: 'Write it as /ip4/192.0.2.1/tcp/4701/p2p/12D3KooW….',
  },
  'address-without-peer': {
    summary: 'The address does not end with the peer it belongs to.',
    fix: 'Append /p2p/ and the peer id: without it nobody can tell who answers.',
  },
  'address-wrong-key-type': {
    summary: 'The peer id in the address is not of an Ed25519 key.',
    fix: 'Use the peer id `kith status` shows.',
  },
  'address-list-too-long': {
    summary: 'More bootstrap addresses than a node uses.',
    fix: 'Give a handful: one that answers is enough.',
  },
  'invite-unreadable': {
    summary: 'The file with the invite cannot be read.',
    fix: 'Check the path, or paste the invite itself.',
  },
  'dial-refused': {
    summary: 'The machine answered that nothing listens there.',
    fix: 'Start kith on that machine.',
  },
  'dial-timeout': {
    summary: 'Nothing answered in time.',
    fix: 'Check that the machine is up and its port is reachable.',
  },
  'dial-unreachable': {
    summary: 'There is no route to the machine.',
    fix: 'Check the network on this side.',
  },
  'dial-no-address': {
    summary: 'No address of the peer is known.',
    fix: 'It has to dial this node, or be invited anew.',
  },
  'dial-failed': {
    summary: 'The connection was not made or not secured.',
    fix: 'Look at the text of the failure and at the security events.',
  },
  'multicast-malformed': {
    summary: 'A packet on the local network is no well-formed multicast DNS.',
    fix: '',
  },
  'lan-unavailable': {
    summary: 'Members on the same network cannot be looked for on one of its interfaces.',
    fix: 'Let other programs share UDP port 5353, or switch LAN discovery off (--no-mdns); everything else goes on.',
  },
} as const satisfies ReasonTable

/** Code of a bootstrap failure. */
export type BootstrapCode = keyof typeof BOOTSTRAP_REASONS
/** An expected failure of finding or dialling peers. */
export class BootstrapError extends KithError<BootstrapCode> {}
