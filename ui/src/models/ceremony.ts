import type { AuthorityRow } from '../../../node/api/schemas.ts'

/** What is asked of the root key. */
export type RootWish =
  | { readonly act: 'add'; readonly peer: string; readonly roles: AuthorityRow['roles'] }
  | { readonly act: 'retire'; readonly peer: string; readonly reason: string; readonly stolen: boolean }

/** One line to type, and where. */
export interface CeremonyStep {
  readonly where: string
  readonly command: string
}

/** What `kith authority add` grants without `--role`. */
export const DEFAULT_ROLES: AuthorityRow['roles'] = ['admit', 'revoke']

/**
 * The commands that do it: one where the root key lies on this machine, else request, signature and answer. The dashboard
 * itself never reaches the root key.
 */
export function ceremonyOf(wish: RootWish, isRootHere: boolean): CeremonyStep[] {
  const verb = `kith authority ${wish.act}`
  const line = [verb, quoted(wish.peer), ...optionsOf(wish)].join(' ')
  if (isRootHere) return [{ where: 'On this machine', command: line }]
  return [
    { where: 'On this machine', command: `${line} --request request.txt` },
    {
      where: 'Where the root key is; the machine needs no network and no node',
      command: 'kith root sign request.txt --key KEYFILE --out answer.txt',
    },
    { where: 'On this machine again', command: `${verb} --signed answer.txt` },
  ]
}

function optionsOf(wish: RootWish): string[] {
  if (wish.act === 'add') {
    const isDefault = [...wish.roles].sort().join() === DEFAULT_ROLES.join()
    return isDefault ? [] : ['--role', ...wish.roles]
  }
  const reason = wish.reason.trim()
  return [...(reason === '' ? [] : ['--reason', quoted(reason)]), ...(wish.stolen ? ['--stolen'] : [])]
}

/** As a POSIX shell takes it: what needs no quotes gets none. */
function quoted(text: string): string {
  return /^[\w./:@%+=-]+$/.test(text) && !text.startsWith('-') ? text : `'${text.replaceAll("'", `'\\''`)}'`
}
